package history

// This file is version 1 of the JSON form of routes and their messages, for the
// API. docs/api.md describes it.

import (
	"time"

	"mailprobe/mail"
)

// RouteResult is the outcome of one message of a route. What is not known is absent.
type RouteResult struct {
	Route          string                                `json:"route"`
	Up             bool                                  `json:"up"`
	Seq            uint64                                `json:"seq"`
	MessageID      string                                `json:"message_id,omitempty"`
	Sent           time.Time                             `json:"sent"`
	Ended          time.Time                             `json:"ended"`
	Failure        *RouteFailureResult                   `json:"failure,omitempty"`
	Submit         float64                               `json:"submit_seconds,omitempty"`
	Transfer       float64                               `json:"transfer_seconds,omitempty"`
	Uncertainty    float64                               `json:"transfer_uncertainty_seconds,omitempty"`
	Total          float64                               `json:"total_seconds,omitempty"`
	Delivered      bool                                  `json:"delivered"`
	Folder         mail.FolderKind                       `json:"folder,omitempty"`
	FolderName     string                                `json:"folder_name,omitempty"`
	Authentication map[mail.SenderCheck]mail.CheckResult `json:"authentication,omitempty"`
	Trusted        bool                                  `json:"authentication_trusted,omitempty"`
	DSN            string                                `json:"delivery_status,omitempty"`
	Copies         int                                   `json:"copies,omitempty"`
	Deleted        int                                   `json:"deleted,omitempty"`
	Left           int                                   `json:"left_behind,omitempty"`
	Hops           []HopResult                           `json:"hops,omitempty"`
}

// RouteFailureResult is on which leg a message failed, why, and what to do.
type RouteFailureResult struct {
	Leg     mail.Leg    `json:"leg"`
	Reason  mail.Reason `json:"reason"`
	Phase   mail.Phase  `json:"phase,omitempty"` // of the session that failed
	Text    string      `json:"text,omitempty"`
	Meaning string      `json:"meaning"`
	Advice  string      `json:"advice"`
}

// HopResult is one relay of the message's way, as it names itself.
type HopResult struct {
	From string    `json:"from,omitempty"`
	By   string    `json:"by,omitempty"`
	With string    `json:"with,omitempty"`
	At   time.Time `json:"at,omitzero"`
}

// NewRouteResult returns the JSON form of an outcome.
func NewRouteResult(o *mail.RouteOutcome) RouteResult {
	r := RouteResult{Route: o.Route.Name, Up: o.Up(), Seq: o.Seq, MessageID: o.MessageID, Sent: o.Sent.UTC(), Ended: o.Ended.UTC(),
		Submit: o.Submit.Seconds(), Transfer: o.Transfer.Seconds(), Uncertainty: o.Uncertainty.Seconds(), Total: o.Total.Seconds(),
		Delivered: o.Delivered, Folder: o.Folder, FolderName: o.FolderAs, Authentication: o.Authentication, Trusted: o.Trusted,
		DSN: o.DSN, Copies: o.Copies, Deleted: o.Deleted, Left: o.Left}
	if f := o.Failure; f != nil {
		r.Failure = &RouteFailureResult{Leg: f.Leg, Reason: f.Reason, Phase: f.Phase, Text: f.Text,
			Meaning: f.Reason.Meaning(), Advice: f.Advice()}
	}
	for _, hop := range o.Hops {
		r.Hops = append(r.Hops, HopResult{From: hop.From, By: hop.By, With: hop.With, At: hop.At})
	}
	return r
}
