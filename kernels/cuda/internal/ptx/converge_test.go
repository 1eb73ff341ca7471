package ptx

import (
	"strings"
	"testing"
)

// Three lanes take a way that lies behind the place where all meet.
func TestConverge(t *testing.T) {
	for _, modes := range []Modes{{}, {Reverse: true}} {
		out, err := snippetRun{threads: 64, modes: modes}.run(`setp.lt.u32 %p1, %t, 3; @%p1 bra L2;
L1: shfl.sync.bfly.b32 %x, %t, 1, 31, 0xffffffff; bar.sync 0; bra L3;
L2: add.u32 %r1, %t, 1; bra L1;
L3:`, "x", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range out {
			if v[0] != uint64(i^1) {
				t.Fatalf("thread %d has %d, want %d", i, v[0], i^1)
			}
		}
	}
	for name, want := range map[string]string{"shfl.sync.bfly.b32 %x, %t, 1, 31, 0xffffffff": "the mask names", "bar.sync 0": "a barrier that only lanes"} {
		_, err := snippetRun{threads: 32}.run(`setp.lt.u32 %p1, %t, 3; @%p1 bra L2;
L1: `+name+`; bra L3;
L2: setp.eq.u32 %p2, %a, 99; @%p2 bra L3; bra L1;
L3:`, "x", nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s where some lanes may not come: %v, want %q", name, err, want)
		}
	}
}
