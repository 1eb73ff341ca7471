package measure

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
)

// MachineMemory is the memory in bytes, where the operating system tells it in /proc, and what is available of it.
func MachineMemory() (total, available int64) {
	return procBytes("/proc/meminfo", "MemTotal:"), procBytes("/proc/meminfo", "MemAvailable:")
}

// PeakMemory is the most memory in bytes that this process has held at once, 0 where the operating system does not tell. It is all that is
// resident: the program's code, the Go heap with what is garbage and not yet given back, stacks.
func PeakMemory() int64 { return procBytes("/proc/self/status", "VmHWM:") }

// ResetPeakMemory gives garbage back to the operating system and lets PeakMemory start again from what is held now. It tells whether it could:
// Linux alone can.
func ResetPeakMemory() bool {
	debug.FreeOSMemory()
	const peak = "5" // of proc(5): reset the peak resident set size
	return os.WriteFile("/proc/self/clear_refs", []byte(peak), 0) == nil
}

// procBytes is the figure of a line "KEY  123 kB" of a file in /proc, 0 if there is none.
func procBytes(path, key string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == key {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}
