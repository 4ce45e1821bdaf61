package history

import (
	"reflect"
	"testing"
	"time"

	"mailprobe/mail"
)

// A chain that differs in whatever field is another one: packOutcome takes over the
// packed form of one with the same sum.
func TestSumOfAChainDependsOnEveryField(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0).UTC()
	chain := func() []mail.CertificateFacts {
		return []mail.CertificateFacts{
			{Subject: "CN=mail", Issuer: "CN=ca", DNSNames: []string{"a", "b"}, NotBefore: begin, NotAfter: begin.Add(time.Hour), Key: 3, KeyBits: 256},
			{Subject: "CN=ca"},
		}
	}
	want := sumOf(chain())
	if sumOf(chain()) != want {
		t.Fatal("the same chain has two sums")
	}
	others := map[string]func([]mail.CertificateFacts) []mail.CertificateFacts{
		"names moved":   func(c []mail.CertificateFacts) []mail.CertificateFacts { c[0].DNSNames = []string{"ab"}; return c },
		"one name less": func(c []mail.CertificateFacts) []mail.CertificateFacts { c[0].DNSNames = c[0].DNSNames[:1]; return c },
		"text moved": func(c []mail.CertificateFacts) []mail.CertificateFacts {
			c[0].Subject, c[0].Issuer = "CN=mailC", "N=ca"
			return c
		},
		"shorter":     func(c []mail.CertificateFacts) []mail.CertificateFacts { return c[:1] },
		"other order": func(c []mail.CertificateFacts) []mail.CertificateFacts { c[0], c[1] = c[1], c[0]; return c },
	}
	for i := range reflect.TypeFor[mail.CertificateFacts]().NumField() {
		field := reflect.TypeFor[mail.CertificateFacts]().Field(i)
		others[field.Name] = func(c []mail.CertificateFacts) []mail.CertificateFacts {
			value := reflect.ValueOf(&c[0]).Elem().Field(i)
			switch v := value.Addr().Interface().(type) {
			case *string:
				*v += "x"
			case *[]string:
				*v = append(*v, "x")
			case *time.Time:
				*v = v.Add(time.Second)
			default:
				value.SetInt(value.Int() + 1)
			}
			return c
		}
	}
	for name, change := range others {
		if sumOf(change(chain())) == want {
			t.Errorf("%s: the sum is the same", name)
		}
	}
}

func TestTheNextOutcomeTakesOverAChainOnlyIfItIsTheSame(t *testing.T) {
	outcome := func(subject string) *mail.Outcome {
		return &mail.Outcome{TLS: &mail.TLSFacts{FingerprintSHA256: "f", Chain: []mail.CertificateFacts{{Subject: subject}}}}
	}
	first := packOutcome(outcome("CN=a"))
	for _, subject := range []string{"CN=a", "CN=b"} {
		if got := packOutcome(outcome(subject), first).unpack(nil, true).TLS.Chain; len(got) != 1 || got[0].Subject != subject {
			t.Errorf("%v, want %s", got, subject)
		}
	}
	if got := packOutcome(&mail.Outcome{TLS: &mail.TLSFacts{}}, first).unpack(nil, true).TLS.Chain; len(got) != 0 {
		t.Errorf("%v, want no chain", got)
	}
}
