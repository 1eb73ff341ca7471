package main

import (
	"os"
	"strconv"
	"strings"
)

// memoryOfMachine is the memory in bytes, where the operating system tells it in /proc, and what is available of it.
func memoryOfMachine() (total, available int64) {
	return procBytes("/proc/meminfo", "MemTotal:"), procBytes("/proc/meminfo", "MemAvailable:")
}

// peakMemory is the most memory in bytes that this process has held at once, 0 where the operating system does not tell.
func peakMemory() int64 { return procBytes("/proc/self/status", "VmHWM:") }

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
