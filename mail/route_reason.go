package mail

// This file is the part of the table of reasons that only routes use.

// The reasons of routes, beside those of the connections that they use.
const (
	RefusedContent       Reason = "refused_content"
	Queued               Reason = "queued"
	Bounced              Reason = "bounced"
	LostAfterAcceptance  Reason = "lost_after_acceptance"
	NotDelivered         Reason = "not_delivered"
	FiledAsSpam          Reason = "filed_as_spam"
	FiledElsewhere       Reason = "filed_elsewhere"
	Late                 Reason = "late"
	Duplicated           Reason = "duplicated"
	Altered              Reason = "altered"
	AuthenticationFailed Reason = "authentication_failed"
	CleanupFailed        Reason = "cleanup_failed"
)

// routeReasons has one line per reason of routes, in the order of a message's way.
var routeReasons = []reasonFacts{
	{RefusedContent, Transient,
		"The server took the sender and the recipient, and refused the message itself.",
		"Look for the refusal in the sending server's log; likely causes are content filters, size limits and policies on headers.",
		"4xx or 5xx to the end of DATA"},
	{Queued, Transient,
		"The server accepted the message and passed it on to nobody before the deadline.",
		"Look at the sending server's queue (mailq); likely causes are a next hop that is down, greylisting and DNS.",
		"no delivery status and no message before the deadline, where delivery status was asked for"},
	{Bounced, Transient,
		"A server on the way returned the message to its sender.",
		"Read the status of the returned message on the status page, and check the recipient's address, alias and quota there.",
		"a delivery status with `Action: failed` (RFC 3464)"},
	{LostAfterAcceptance, Transient,
		"The last server reported the message as passed on or delivered, but it is in no folder that was looked through.",
		"Look at filters and rules behind that server: something deletes, redirects or files the message elsewhere.",
		"a delivery status with `Action: relayed` or `delivered`, and no message before the deadline"},
	{NotDelivered, Transient,
		"The message was accepted for sending and did not arrive before the deadline.",
		"Follow the message by its Message-ID through the servers' logs and queues; bounces on the route would name the leg.",
		"no message before the deadline, where no delivery status was asked for or offered"},
	{FiledAsSpam, Transient,
		"The message arrived in the junk folder.",
		"Check SPF, DKIM, DMARC and the sender's reputation; with delete: none for a while, the message in the junk folder has the filter's reasons in its header.",
		"found in the folder with the attribute `\\Junk`, or named Junk or Spam"},
	{FiledElsewhere, Transient,
		"The message arrived in a folder that is neither the configured mailbox nor the junk folder.",
		"Look for a rule of the mailbox that moves the message, or list the folder under folders.",
		"found in another folder of the route"},
	{Duplicated, Transient,
		"The message arrived more than once.",
		"Look for an alias, a forward or a list that leads to this mailbox twice.",
		"two messages with the same token"},
	{Altered, Transient,
		"The body of the message was changed on the way.",
		"Look for a relay that adds a footer or a disclaimer or rewrites links; such changes break DKIM signatures too.",
		"the body differs from the one that was sent, after its transfer encoding is taken off"},
	{AuthenticationFailed, Transient,
		"The receiving server did not authenticate the message as the route requires.",
		"Check the SPF, DKIM and DMARC records of the sender's domain, and whether a relay rewrites signed parts.",
		"`Authentication-Results` of the configured authserv_id without a required result"},
	{Late, Transient,
		"The message arrived later than the route allows.",
		"Look at the times of the hops on the status page: the largest step names the server that holds mail back.",
		"found after slow and before the deadline"},
	{CleanupFailed, Transient,
		"The message arrived, but could not be deleted again.",
		"Delete the messages with X-Mailprobe by hand, and check that the server has UIDPLUS and that the user may delete.",
		"no `UIDPLUS`; a refusal of STORE, UID EXPUNGE or DELE"},
}

// RouteReasons lists the reasons that only routes have, in the order of a
// message's way.
func RouteReasons() []Reason { return reasonsOf(routeReasons) }

func reasonsOf(table []reasonFacts) []Reason {
	list := make([]Reason, len(table))
	for i := range table {
		list[i] = table[i].reason
	}
	return list
}
