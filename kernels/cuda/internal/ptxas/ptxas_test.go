package ptxas

import (
	"slices"
	"strings"
	"testing"
)

const said = `ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'a' for 'sm_80'
ptxas info    : Function properties for a
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, 16384 bytes smem, 416 bytes cmem[0]
ptxas info    : Compiling entry function 'b' for 'sm_80'
ptxas info    : Function properties for b
    912 bytes stack frame, 1200 bytes spill stores, 1224 bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 368 bytes cmem[0]
`

func TestParse(t *testing.T) {
	got, err := parse("x.ptx", "V1.2.3", []byte(said))
	want := []Kernel{{"a", 40, 16384, 0, 0, "V1.2.3"}, {"b", 64, 0, 912, 2424, "V1.2.3"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	read, err := Read(Format(want[:1]))
	if err != nil || !slices.Equal(read, want[:1]) {
		t.Errorf("read back %+v, %v", read, err)
	}
	for _, line := range []string{
		"ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to insufficient register resources for the wgmma pipeline in the function 'a'",
		"ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored to maintain minimum register requirements.",
		"ptxas warning : Unused something",
	} {
		if _, err := parse("x.ptx", "V1.2.3", []byte(said+line+"\n")); err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%s: got %v", line, err)
		}
	}
}
