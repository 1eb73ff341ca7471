// Package tensorboard writes scalars as event files that TensorBoard reads.
//
//	w, err := tensorboard.Create("runs/photos/tensorboard", time.Now())
//	err = w.Scalars(time.Now(), step, tensorboard.Scalar{Tag: "train/loss", Value: 6.9})
//	err = w.Close()
//
// An event file is TFRecords, each an Event message of tensorboard/compat/proto/event.proto.
package tensorboard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Scalar is a number under a name; a slash in the tag groups charts.
type Scalar struct {
	Tag   string
	Value float64
}

// Writer appends to an event file. Every record is one write: a reader, or a kill, sees whole records or the last one cut off, which
// TensorBoard passes over.
type Writer struct {
	f      *os.File
	record []byte
}

// suffix marks the files of this package.
const suffix = ".dino"

// Create starts an event file in dir, which it makes, and removes those that this package wrote there before: their run is told anew. A
// TensorBoard that has read them forgets what it read.
func Create(dir string, now time.Time) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	old, err := filepath.Glob(filepath.Join(escape(dir), "events.out.tfevents.*"+suffix))
	if err != nil {
		return nil, err
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// TensorBoard reads the files of a folder in the order of their names, and so must one that is written later come later.
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.%09d%s", now.Unix(), now.Nanosecond(), suffix)))
	if err != nil {
		return nil, err
	}
	w := &Writer{f: f}
	version := protowire.AppendString(protowire.AppendTag(nil, eventFileVersion, protowire.BytesType), "brain.Event:2")
	err = w.event(now, 0, version)
	if err == nil { // a START at step 0 makes what was read of earlier files void
		log := protowire.AppendVarint(protowire.AppendTag(nil, sessionLogStatus, protowire.VarintType), sessionStart)
		err = w.event(now, 0, protowire.AppendBytes(protowire.AppendTag(nil, eventSessionLog, protowire.BytesType), log))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

// escape has Glob take a folder's name as it is.
func escape(dir string) string {
	var b []byte
	for i := range len(dir) {
		if c := dir[i]; c == '*' || c == '?' || c == '[' || c == '\\' && filepath.Separator != '\\' {
			b = append(b, '\\')
		}
		b = append(b, dir[i])
	}
	return string(b)
}

// Field numbers of event.proto and summary.proto.
const (
	eventWallTime    = 1 // double, seconds since 1970
	eventStep        = 2 // int64
	eventFileVersion = 3 // string
	eventSummary     = 5 // Summary
	eventSessionLog  = 7 // SessionLog
	summaryValue     = 1 // repeated Summary.Value
	valueTag         = 1 // string
	valueSimple      = 2 // float
	sessionLogStatus = 1 // enum
	sessionStart     = 1
)

// Path is the file's.
func (w *Writer) Path() string { return w.f.Name() }

// Scalars writes values of one step.
func (w *Writer) Scalars(at time.Time, step int64, values ...Scalar) error {
	var summary []byte
	for _, v := range values {
		value := protowire.AppendString(protowire.AppendTag(nil, valueTag, protowire.BytesType), v.Tag)
		value = protowire.AppendFixed32(protowire.AppendTag(value, valueSimple, protowire.Fixed32Type), math.Float32bits(float32(v.Value)))
		summary = protowire.AppendBytes(protowire.AppendTag(summary, summaryValue, protowire.BytesType), value)
	}
	return w.event(at, step, protowire.AppendBytes(protowire.AppendTag(nil, eventSummary, protowire.BytesType), summary))
}

// Close closes the file.
func (w *Writer) Close() error { return w.f.Close() }

// event writes an Event of which what is one field, encoded.
func (w *Writer) event(at time.Time, step int64, what []byte) error {
	e := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	e = protowire.AppendFixed64(e, math.Float64bits(float64(at.Unix())+float64(at.Nanosecond())/1e9))
	if step != 0 {
		e = protowire.AppendVarint(protowire.AppendTag(e, eventStep, protowire.VarintType), uint64(step))
	}
	w.record = appendRecord(w.record[:0], append(e, what...))
	_, err := w.f.Write(w.record)
	return err
}

// appendRecord frames data as a TFRecord:
//
//	uint64 length, uint32 masked crc of length, data, uint32 masked crc of data      little-endian
func appendRecord(b, data []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	b = binary.LittleEndian.AppendUint32(b, maskedCRC(b[start:]))
	b = append(b, data...)
	return binary.LittleEndian.AppendUint32(b, maskedCRC(data))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is CRC-32C, rotated and moved so that a CRC of data that holds CRCs is no weaker (tsl/lib/hash/crc32c.h).
func maskedCRC(data []byte) uint32 {
	crc := crc32.Checksum(data, castagnoli)
	return (crc>>15 | crc<<17) + 0xa282ead8
}
