package history

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mailprobe/internal/outcometest"
	"mailprobe/mail"
)

// Chains that differ in any field must have different sums, because pack reuses
// the packed form of a chain with the same sum.
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
	first := packed(outcome("CN=a"))
	for _, subject := range []string{"CN=a", "CN=b"} {
		if got := packed(outcome(subject), first).unpack(nil, true).TLS.Chain; len(got) != 1 || got[0].Subject != subject {
			t.Errorf("%v, want %s", got, subject)
		}
	}
	if got := packed(&mail.Outcome{TLS: &mail.TLSFacts{}}, first).unpack(nil, true).TLS.Chain; len(got) != 0 {
		t.Errorf("%v, want no chain", got)
	}
}

func packed(o *mail.Outcome, before ...*packedOutcome) *packedOutcome {
	p := &packedOutcome{}
	p.pack(o, before...)
	return p
}

// Readers keep what they got, whatever comes after it.
func TestAnUnpackedOutcomeOutlivesTheNextOne(t *testing.T) {
	outcome := func(text string) *mail.Outcome {
		return &mail.Outcome{Address: text, Transcript: []mail.Line{{Text: text}},
			TLS: &mail.TLSFacts{Version: text, Chain: []mail.CertificateFacts{{Subject: text}}}}
	}
	p := packed(outcome("first"))
	first := p.unpack(nil, true)
	for _, next := range []string{"other", "a longer text than there was room for before", "", "short"} {
		p.pack(outcome(next), p)
		if diff := cmp.Diff(outcome(next), p.unpack(nil, true)); diff != "" {
			t.Errorf("%q: -in +out:\n%s", next, diff)
		}
	}
	if diff := cmp.Diff(outcome("first"), first); diff != "" {
		t.Errorf("the first outcome changed: -before +after:\n%s", diff)
	}
}

// A field that is added to an outcome and forgotten in coder would be lost.
func TestEveryFieldOfAnOutcomeIsUnpacked(t *testing.T) {
	c := outcometest.Inbox("inbox")
	want := mail.Outcome{}
	filled(reflect.ValueOf(&want).Elem(), new(int64))
	want.Connection = c
	got := packed(&want).unpack(c, true)
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreFields(mail.Outcome{}, "Connection")); diff != "" {
		t.Errorf("-in +out:\n%s", diff)
	}
	if got := packed(&want).unpack(c, false); got.Transcript != nil || got.TLS.Chain != nil || got.Mailbox.Watch == nil {
		t.Error("a summary has dialogue or chain, or lacks something else")
	}
	if got := packed(&mail.Outcome{}).unpack(nil, true); !reflect.DeepEqual(got, &mail.Outcome{}) {
		t.Errorf("an empty outcome became %+v", got)
	}
}

// filled sets each field to a different value.
func filled(v reflect.Value, n *int64) {
	*n += 1_000_003 // so that times differ in all their parts
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("word %d", *n)) // in none of coder's tables
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			filled(v.Index(i), n)
		}
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*mail.Connection]() {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), n)
	case reflect.Struct:
		if at, is := v.Addr().Interface().(*time.Time); is {
			*at = time.Unix(1_700_000_000, *n*7)
			return
		}
		for i := range v.NumField() {
			filled(v.Field(i), n)
		}
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	default:
		v.SetInt(*n)
	}
}
