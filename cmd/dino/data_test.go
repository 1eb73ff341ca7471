package main

import "testing"

func TestPlural(t *testing.T) {
	for word, want := range map[string]string{"image": "2 images", "copy": "2 copies", "class": "2 classes", "patch": "2 patches", "epoch": "2 epochs"} {
		if got := plural(2, word); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
