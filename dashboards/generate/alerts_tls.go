package main

import "fmt"

// Recordings of the moments from which a certificate is worth an alert.
const (
	renewSoon   = "connection:mailprobe_tls_certificate_renew_soon:timestamp_seconds"
	renewUrgent = "connection:mailprobe_tls_certificate_renew_urgent:timestamp_seconds"
)

// moment is the time at which an alert about a certificate begins: a number of days
// before its end, or a part of its lifetime before it, whichever is later. The figures
// are those of mail.ExpiryThresholds; a test compares them.
type moment struct{ days, part int }

var (
	soon   = moment{21, 3}
	urgent = moment{7, 10}
)

// certificateMoment is the query for a moment.
func certificateMoment(m moment) string {
	return fmt.Sprintf(`mailprobe_tls_certificate_not_after_timestamp_seconds
- clamp_max(
    (mailprobe_tls_certificate_not_after_timestamp_seconds - mailprobe_tls_certificate_not_before_timestamp_seconds) / %d,
    %d * 86400)
or
mailprobe_tls_certificate_not_after_timestamp_seconds - %d * 86400`, m.part, m.days, m.days)
}

// tlsAlerts are about certificates and encryption.
func tlsAlerts() group {
	return group{
		name: "mailprobe-tls",
		records: []recording{
			{renewSoon, "21 days before the end, or the last third of a short life: a certificate of\nsix days is renewed each third or fourth day.", certificateMoment(soon)},
			{renewUrgent, "Seven days before the end, or the last tenth of a short life.", certificateMoment(urgent)},
		},
		alerts: []alert{
			certificateExpiring("warning", "21 days before the end (a third of the lifetime where that is shorter)", `min_over_time(mailprobe_tls_certificate_not_after_timestamp_seconds[30m]) - time()
and on (`+identity+`)
min_over_time(`+renewSoon+`[30m]) < time()
unless on (`+identity+`)
min_over_time(`+renewUrgent+`[30m]) < time()
`+configured, `min_over_time: behind one name there may be several servers, and only one of
them with the old certificate.`),
			certificateExpiring("critical", "7 days before (a tenth)", `min_over_time(mailprobe_tls_certificate_not_after_timestamp_seconds[30m]) - time() > 0
and on (`+identity+`)
min_over_time(`+renewUrgent+`[30m]) < time()
`+configured, ""),
			certificateExpired(), certificateUntrusted(), versionWeakened(), starttlsWeakened(),
		},
	}
}

// dated says until when the certificate is valid.
var dated = lookup("mailprobe_tls_certificate_not_after_timestamp_seconds$", " "+clock)

func certificateExpiring(severity, fires, expr, comment string) alert {
	return alert{
		name: "MailprobeCertificateExpiring", severity: severity, pending: "1m", fires: fires, comment: comment, expr: expr,
		summary: "The certificate of " + who + " expires in {{ $value | humanizeDuration }}.",
		text: []string{
			"The certificate chain of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " is valid for {{ $value | humanizeDuration }} more.",
			"Renew the certificate, and make sure that every mail server behind this name loads the new file.",
		},
		board: connectionUID, page: connectionPage,
	}
}

func certificateExpired() alert {
	return alert{
		name: "MailprobeCertificateExpired", severity: "critical", fires: "at once",
		expr:    `mailprobe_tls_certificate_not_after_timestamp_seconds - time() <= 0`,
		summary: "The certificate of " + who + " expired at" + dated + ".",
		text: []string{
			"The certificate chain of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " expired at" + dated + ".",
			"Mail clients refuse the server. Renew the certificate, and make sure that the mail server loads the new file.",
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}

func certificateUntrusted() alert {
	return alert{
		name: "MailprobeCertificateUntrusted", severity: "warning", pending: "5m", fires: "after 5 minutes",
		comment: "An expired certificate has an alert of its own.",
		expr: `mailprobe_tls_certificate_verified == 0
unless on (` + identity + `)
(mailprobe_tls_certificate_not_after_timestamp_seconds <= time())`,
		summary: "The certificate of " + who + " cannot be verified.",
		text: []string{
			"The certificate presented to the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " does not pass verification: chain, name, dates or key size are wrong.",
			whyFailing,
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}

func versionWeakened() alert {
	return alert{
		name: "MailprobeTLSWeakened", severity: "warning", pending: "30m", fires: "30 minutes after an older version is negotiated",
		comment: "It ends by itself a week later, when the older version is the habit.",
		expr: `connection:mailprobe_tls_version:number
< max_over_time(connection:mailprobe_tls_version:number[1w:1h])`,
		summary: who + " speaks an older TLS version than it did this week.",
		text: []string{
			"The server of the {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " now negotiates TLS {{ $value }};",
			lookup("max_over_time(connection:mailprobe_tls_version:number$[1w:1h])", " within the last week it was TLS {{ .Value }}."),
			"Either the server's configuration changed, or a device between mailprobe and the server takes part in the conversation.",
		},
		board: connectionUID, page: connectionPage,
	}
}

func starttlsWeakened() alert {
	return alert{
		name: "MailprobeTLSWeakened", severity: "critical", pending: "2m", fires: "after 2 minutes without STARTTLS",
		comment: `STARTTLS that vanishes is what an attacker in the path looks like. Where it
never worked there is no last success: that is a wrong configuration.`,
		expr: `max without (phase, reason) (
  mailprobe_failure_info{reason=~"starttls_not_offered|starttls_refused|starttls_injected"}
)
and on (` + identity + `)
mailprobe_last_success_timestamp_seconds`,
		summary: who + " is no longer encrypted by STARTTLS.",
		text: []string{
			"The {{ $labels.protocol }} connection {{ $labels.connection }}" + where + " asks for STARTTLS and does not get it; mailprobe sent no credential.",
			whyFailing,
			workedLast,
		},
		board: connectionUID, page: connectionPage,
	}
}
