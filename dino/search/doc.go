// Package search finds images by their features: the nearest to a query, those that are nearly the same, those that are like no other. The
// features of a folder or tar lie in an [Index], a folder that is mapped into memory, updated when the images change, and whole or absent
// whatever happens while it is written.
//
//	x, err := search.Open("photos.index")
//	defer x.Close()
//	found, err := search.Nearest(tensor.CPU(), x.Rows(), queries, 10)
//	for _, m := range found[0] {
//		fmt.Printf("%.3f  %s\n", m.Similarity, x.Images[m.Row].Path)
//	}
//
// Search is exact. Products in float32 only rule rows out, with a margin for their rounding; what is left is compared by the cosine in
// float64, added in order, and equal ones by row. So a result depends on the features alone: not on threads, kernels or how many queries are
// asked at once.
//
// # Files of an index
//
//	index.json        what the index is of and how it was made; it names the generation N of the two others, and replaces the last one whole
//	features.N.f32    a header of 64 bytes, then the features (count, D): float32, little-endian, each row of length 1
//	images.N.jsonl    of each row, a line of JSON: path, size, modified, sha256; path_base64 for paths that are not UTF-8
//	partial.*         the rows that an update has made so far; the next update goes on with them
//	lock              held while an update runs
//
// The header is: 8 bytes "GODINOF1"; dimensions D, uint32; 4 bytes 0; rows, uint64; 32 bytes of the SHA-256 of weights and settings
// ([Settings.Key]); CRC-32C of the rows, uint32; CRC-32C of the header before it, uint32. All sizes are checked against the file's before
// memory is asked for or mapped.
//
// Letters: N rows, D dimensions, Q queries, k neighbours.
package search
