package routes

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mailprobe/mail"
)

// Every form of folders and delete, over IMAP and POP3, with and without delivery
// status, wherever the message is filed.
func TestEveryFormOfARoute(t *testing.T) {
	forms := map[mail.Protocol][][]string{
		mail.IMAP: {nil, {"INBOX"}, {"INBOX", "Archive"}, {"Archive", "INBOX"}, {"INBOX", "Archive", "Junk"}},
		mail.POP3: {nil},
	}
	cases := 0
	for protocol, lists := range forms {
		for _, folders := range lists {
			for _, remove := range []bool{false, true} {
				for _, status := range []bool{false, true} {
					for _, filed := range []string{"INBOX", "Junk", "Archive", ""} {
						cases++
						t.Run(fmt.Sprintf("%s %v delete %v status %v filed in %q", protocol, folders, remove, status, filed), func(t *testing.T) {
							form{protocol, folders, remove, status, filed}.check(t)
						})
					}
				}
			}
		}
	}
	if cases != 96 {
		t.Errorf("%d cases", cases)
	}
}

// form is one way to write a route, and where its message is filed.
type form struct {
	protocol       mail.Protocol
	folders        []string // empty: auto
	remove, status bool
	filed          string // empty: nowhere
}

// want is what a reader of the documentation expects.
func (f form) want() (found bool, reason mail.Reason) {
	looked := f.folders
	switch {
	case f.protocol == mail.POP3:
		looked = []string{"INBOX"}
	case len(looked) == 0:
		looked = []string{"INBOX", "Junk"}
	}
	switch {
	case slices.Contains(looked, f.filed):
		return true, map[string]mail.Reason{"Junk": mail.FiledAsSpam, "Archive": mail.FiledElsewhere}[f.filed]
	case f.status:
		return false, mail.Queued // no notification comes
	}
	return false, mail.NotDelivered
}

func (f form) check(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.folders["Bounces"] = nil
		if f.filed != "" {
			w.deliver = into(f.filed, time.Second)
		}
		o, known := send(t, w, testRoute(func(r *mail.Route) {
			receive := *r.Receive
			receive.Protocol = f.protocol
			r.Receive, r.Folders, r.Delete = &receive, f.folders, f.remove
			if f.status {
				notices(r)
			}
		}))
		found, want := f.want()
		if f.filed == "Archive" && len(f.folders) > 0 && f.folders[0] == "Archive" {
			want = "" // the first of a list is where it is expected
		}
		var got mail.Reason
		if o.Failure != nil {
			got = o.Failure.Reason
		}
		if !known || got != want || o.Delivered != found {
			t.Errorf("%q, found %v: %+v; want %q, found %v", got, o.Delivered, o.Failure, want, found)
		}
		left := 0
		if f.filed != "" && !(found && f.remove) {
			left = 1
		}
		if w.left() != left || found && f.remove != (o.Deleted == 1) {
			t.Errorf("%d messages are left, want %d; deleted %d", w.left(), left, o.Deleted)
		}
	})
}
