package prober

// This file holds the catalogue of faults against the tests: every number is
// played by TestFaults or TestFaultsOfNames, or held by a test that is named
// here, or cannot be tested here for a reason that is written down.

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// catalogueSize is the number of its last fault.
const catalogueSize = 170

// testedElsewhere names, for a fault that no script can play, the tests that hold
// it, as directory.Test from the root of the module.
var testedElsewhere = map[int][]string{
	5:   {"prober.TestSilentNameServerKeepsNoSocket"}, // beside its fault
	11:  {"prober.TestProbeFollowsANameThatMoves"},
	15:  {"prober.TestFaultRefusedPort"},
	26:  {"prober.TestFaultSilentPeerLeavesNothingInTheKernel"}, // beside its fault
	27:  {"prober.TestFaultSplitAnywhere"},
	31:  {"prober.TestFaultFullBacklog"},
	131: {"pool.TestPoolKeepsTimeForAWeek"},
	132: {"pool.TestPoolAfterSuspendStartsNoBurst"},
	133: {"pool.TestPoolReportsAnOverrunOnlyWithoutAResult", "pool.TestPoolSlowProbeIsSkippedNotQueued"},
	134: {"prober.TestProbeWithoutDescriptors", "pool.TestDescriptorLimit"},
	137: {"internal/logline.TestWriterNeverWaitsForItsReader", "internal/exporter.TestBlockedLogStopsNoProbe"},
	138: {"internal/exporter.TestChangesAreLoggedOnceAndSlowly"},
	10:  {"prober.TestFaultIPv6BlackHole"},
	16:  {"prober.TestFaultsOfRoutes"},
	17:  {"prober.TestFaultsOfRoutes"},
	30:  {"prober.TestFaultLoss"},
	135: {"prober.TestFaultPortsExhausted"},
	50:  {"prober.TestFaultRenegotiation"},
	136: {"metrics.TestMemoryAtRestIsBounded", "history.TestHistoryFitsMemory"},
	141: {"guard.TestGuardStateSurvivesKill"},
	142: {"pool.TestPoolKeepsTimeForAWeek"}, // Go's clock for it knows neither leaps nor zones
	139: {"pool.TestPoolSurvivesPanics"},
	140: {"internal/exporter.TestStopsWithManyProbesInFlight"},
	59:  {"config.TestLoadReportsEveryFault"}, // ca_files.yml; a reload that fails is fault 144
	14:  {"prober.TestDeadNameServerDelaysNobody"},

	110: {"prober.TestPasswordsAreSentExactly", "prober.TestPasswordsThatCannotBeSentOpenNoConnection"},
	111: {"config.TestLoadReportsEveryFault"}, // user_with_line_break.yml, user_with_trailing_space.yml
	114: {"oauth.TestEndpointMisbehaves", "oauth.TestEndpointDown", "oauth.TestSlowEndpoint"},
	115: {"oauth.TestEndpointMisbehaves"},
	116: {"prober.TestProbeRenewsARefusedTokenOnce"},
	117: {"oauth.TestTokenIsFetchedOnceHoweverManyAsk", "oauth.TestSourcesDoNotRenewTogether"},
	118: {"prober.TestProbeWithGuardMakesOneAttempt"},
	129: {"prober.TestProbeEndsAtOnceWhereverItIsCancelled"},

	143: {"internal/exporter.TestThousandReloads"},
	144: {"internal/exporter.TestReloadTakesWhatChanged", "web.TestReload"},
	145: {"prober.TestProbeWithAPasswordFileThatCannotBeUsed"},
	146: {"prober.TestProbeCutsOneNewlineOfThePasswordFile"},
	147: {"config.TestLoadCompletesConnections", "config.TestLoadReportsEveryFault"},
	148: {"prober.TestProbeDuringSecretSwaps", "prober.TestSecretSwapEndsAHold"},
	149: {"config.TestLoadRefusesWhatIsTooMuch"},
	150: {"config.TestLoadReportsEveryFault", "config.TestTenThousandConnections"},
	151: {"config.TestSecretsNeverShow"},
	152: {"config.TestCredentialsDirectoryOfSystemd", "config.TestSchemaRefusesWrongStructure"},
	153: {"mail.TestSecretNeverPrints", "deploy.TestSystemdUnitIsRight"},
	154: {"internal/exporter.TestScraperLeavesMidScrape"},
	155: {"internal/exporter.TestManyScrapes", "web.TestMetricsAnswersAreBounded"},
	156: {"internal/exporter.TestSlowloris"},
	157: {"internal/exporter.TestSlowReader"},
	158: {"internal/exporter.TestHostileRequests"},
	159: {"web.TestProbeRefusesUnknownNames"},
	160: {"web.TestProbeRefusesUnknownNames", "internal/exporter.TestHostileRequests"},
	161: {"web.TestHostHeaderIsChecked"},
	162: {"web.TestPagesEscapeWhatOthersWrote", "web.TestBrowser"},
	163: {"web.TestMethods", "internal/exporter.TestRetryIsOffByDefault"},
	164: {"internal/exporter.TestPprofAddress"},
	165: {"web.TestMethods"},
	166: {"metrics.TestHostileConfigurationKeepsTheScrapeValid", "config.TestLoadReportsEveryFault"},
	167: {"internal/exporter.TestRetryIsOffByDefault"},
	168: {"guard.TestGuardStateSecondProcessRefuses"},
	169: {"internal/exporter.TestSeriesWithEveryFault"},
	170: {"internal/exporter.TestSeriesWithEveryFault", "metrics.TestServerTextNeverBecomesALabel"},
}

// notTestable says why a fault has no test.
var notTestable = map[int]string{
	47: "nothing happens: revocation and stapled OCSP are not judged, as docs say",
}

// TestEveryFaultOfTheCatalogueIsTested lists the faults without a test, and those
// that are claimed twice over by a list they have left.
func TestEveryFaultOfTheCatalogueIsTested(t *testing.T) {
	played := map[int]bool{}
	stories := map[string]bool{}
	for _, fault := range faultCases() {
		if stories[fault.story] || len(fault.numbers) == 0 || len(fault.script) == 0 {
			t.Errorf("case %q has its name twice, no number, or no script", fault.story)
		}
		stories[fault.story] = true
		for _, n := range fault.numbers {
			played[n] = true
		}
	}
	for _, fault := range nameFaults() {
		for _, n := range fault.numbers {
			played[n] = true
		}
	}
	for n := range catalogueSize {
		n++
		_, elsewhere := testedElsewhere[n]
		_, never := notTestable[n]
		held := played[n] || elsewhere
		switch {
		case held && never:
			t.Errorf("fault %d has a test; take it off the list of those without", n)
		case !held && !never:
			t.Errorf("fault %d of the catalogue has no test", n)
		}
	}
}

// TestTestsNamedInTheCatalogueExist reads the test files.
func TestTestsNamedInTheCatalogueExist(t *testing.T) {
	known := map[string]map[string]bool{} // directory, test
	for _, n := range slices.Sorted(maps.Keys(testedElsewhere)) {
		for _, name := range testedElsewhere[n] {
			dir, test, _ := strings.Cut(name, ".")
			if known[dir] == nil {
				known[dir] = testsIn(t, filepath.Join("..", dir))
			}
			if !known[dir][test] {
				t.Errorf("fault %d: there is no %s", n, name)
			}
		}
	}
}

// testsIn are the names of the test functions of a directory.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", path, err))
		}
		for _, declaration := range file.Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}
