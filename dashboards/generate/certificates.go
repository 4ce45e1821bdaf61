package main

// This file holds the queries of the boards about certificates. A certificate is due when
// its alert begins: see certificateMoment.

import "fmt"

func certificateLeft(which string) string {
	return `mailprobe_tls_certificate_not_after_timestamp_seconds{` + which + `} - time()`
}

// renewalWords are the words for the values of certificateState. They have the colours,
// not the time left, because the lifetime decides how much time is enough.
var renewalWords = []valueWord{{"0", "Not due", "green"}, {"1", "Due", "orange"}, {"2", "Urgent", "red"}, {"3", "Expired", "dark-red"}}

// certificateState counts which of the moments of a certificate are past: the
// warning, the critical alert, its end.
func certificateState(which string) string {
	end := `mailprobe_tls_certificate_not_after_timestamp_seconds{` + which + `}`
	begin := `mailprobe_tls_certificate_not_before_timestamp_seconds{` + which + `}`
	within := func(m moment) string {
		return fmt.Sprintf("(%s - time() < bool clamp_max((%s - %s) / %d, %d * 86400))", end, end, begin, m.part, m.days)
	}
	return within(soon) + "\n+ " + within(urgent) + "\n+ (" + end + " - time() <= bool 0)"
}
