package cuda

import (
	"embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

//go:embed ptx/*.ptx
var files embed.FS

// PTX is the text that clang made of a source file, without its suffix: gelu of gelu.cu.
func PTX(file string) ([]byte, error) {
	b, err := files.ReadFile("ptx/" + file + ".ptx")
	if err != nil {
		return nil, fmt.Errorf("there is no ptx/%s.ptx in this program", file)
	}
	return b, nil
}

var parameter = regexp.MustCompile(`\.param\s+(?:\.align\s+\d+\s+)?\.(\w+)\s+(?:\.ptr[^,]*?\s)?[\w$]+(?:\[(\d+)\])?`)

// parameters are the sizes in bytes of a kernel's parameters.
func parameters(ptx []byte, kernel string) []int {
	text := string(ptx)
	at := strings.Index(text, ".entry "+kernel+"(")
	if at < 0 {
		return nil
	}
	text = text[at:]
	text = text[:strings.Index(text, ")")]
	var sizes []int
	for _, m := range parameter.FindAllStringSubmatch(text, -1) {
		bits, _ := strconv.Atoi(strings.TrimLeft(m[1], "busf"))
		size := bits / 8
		if m[2] != "" {
			n, _ := strconv.Atoi(m[2])
			size *= n
		}
		sizes = append(sizes, size)
	}
	return sizes
}
