// Package source says what a PTX file is made of: the source, what it includes, and the compiler's flags.
package source

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Flags are clang's for a source file (without .cu).
func Flags(name string) []string {
	arch, version := "sm_80", "ptx70"
	if strings.HasSuffix(name, "_sm_90a") {
		arch, version = "sm_90a", "ptx80"
	}
	return []string{"-std=c++20", "-x", "cuda", "--cuda-device-only", "-nocudainc", "-nocudalib", "-O3", "-ffp-contract=fast", "-fgpu-flush-denormals-to-zero",
		"--cuda-gpu-arch=" + arch, "--cuda-feature=+" + version, "-Wall", "-Werror", "-Wno-unused-function", "-Wno-unused-const-variable"}
}

var (
	include = regexp.MustCompile(`(?m)^\s*#\s*include\s*"([^"]+)"`)
	foreign = regexp.MustCompile(`(?m)^\s*#\s*include\s*<.*`)
)

// Header is the first line of a PTX file that is made of dir/name.cu as it is now.
func Header(dir, name string) (string, error) {
	sum := sha256.New()
	seen := map[string]bool{}
	var add func(file string) error
	add = func(file string) error {
		if seen[file] {
			return nil
		}
		seen[file] = true
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return err
		}
		if m := foreign.Find(text); m != nil {
			return fmt.Errorf("%s: %s: sources may include files of this directory only", file, m)
		}
		fmt.Fprintf(sum, "%s %d\n", file, len(text))
		sum.Write(text)
		for _, m := range include.FindAllStringSubmatch(string(text), -1) {
			if err := add(m[1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := add(name + ".cu"); err != nil {
		return "", err
	}
	flags := strings.Join(Flags(name), " ")
	fmt.Fprintln(sum, flags)
	return fmt.Sprintf("// source %x %s", sum.Sum(nil)[:16], flags), nil
}
