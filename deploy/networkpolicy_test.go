package deploy

import (
	"regexp"
	"slices"
	"strconv"
	"testing"

	"mailprobe/mail"
)

// The NetworkPolicy of the chart allows connections to the default port of every protocol.
func TestNetworkPolicyAllowsEveryDefaultPort(t *testing.T) {
	list := regexp.MustCompile(`(?m)^  egressPorts: \[(.*)\]$`).FindStringSubmatch(read(t, "helm/mailprobe/values.yaml"))
	if list == nil {
		t.Fatal("values.yaml has no egressPorts")
	}
	ports := regexp.MustCompile(`\d+`).FindAllString(list[1], -1)
	for _, p := range mail.Protocols() {
		for _, e := range []mail.Encryption{mail.NoEncryption, mail.StartTLS, mail.ImplicitTLS} {
			if port := strconv.Itoa(mail.DefaultPort(p, e)); !slices.Contains(ports, port) {
				t.Errorf("%s with %s: port %s is not in egressPorts", p, e.Word(), port)
			}
		}
	}
}
