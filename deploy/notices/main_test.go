package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestEveryModuleHasItsLicence(t *testing.T) {
	text, err := notices("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"==== github.com/emersion/go-imap/v2 ", "==== github.com/prometheus/client_golang ", "Apache License", "Permission is hereby granted"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestAModuleWithoutALicenceIsAnError(t *testing.T) {
	if err := appendTexts(new(bytes.Buffer), "example.org/module v1.0.0", t.TempDir()); err == nil {
		t.Error("passed")
	}
}
