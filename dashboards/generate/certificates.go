package main

// This file holds what certificates look like on the boards. They are due at the
// moments at which the alerts speak: see certificateMoment.

import "fmt"

func certificateLeft(which string) string {
	return `mailprobe_tls_certificate_not_after_timestamp_seconds{` + which + `} - time()`
}

// renewalWords are what certificateState counts up to. How much time is little
// depends on the lifetime, so the state has the colour and not the time left.
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
