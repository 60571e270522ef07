package main

import "testing"

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 masters", 1: "1 master", 2: "2 masters"} {
		if got := counted(n, "master"); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}
