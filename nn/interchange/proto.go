package interchange

import (
	"encoding/binary"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of onnx.proto that a model takes, by the numbers of their fields (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
// They are encoded field by field and not by generated code: a generated message would hold a second copy of all weights.
const (
	modelIRVersion, modelProducer, modelProducerVersion, modelDoc, modelGraph, modelOpset, modelMetadata = 1, 2, 3, 6, 7, 8, 14

	opsetVersion               = 2
	entryKey, entryValue       = 1, 2
	graphNode, graphName       = 1, 2
	graphInitializer           = 5
	graphInput, graphOutput    = 11, 12
	nodeInput, nodeOutput      = 1, 2
	nodeName, nodeOpType       = 3, 4
	nodeAttribute              = 5
	attrName, attrF, attrI     = 1, 2, 3
	attrInts, attrType         = 8, 20
	tensorDims, tensorType     = 1, 2
	tensorName, tensorRaw      = 8, 9
	valueName, valueType       = 1, 2
	typeTensor                 = 1
	tensorTypeElem, typeShape  = 1, 2
	shapeDim                   = 1
	dimensionValue, dimensionP = 1, 2

	elemFloat, elemInt64                            = 1, 7
	attributeFloat, attributeInt, attributeIntegers = 1, 2, 7
)

// message is an encoded protobuf message.
type message []byte

func (m message) text(field protowire.Number, s string) message {
	return protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
}

func (m message) integer(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m message) float(field protowire.Number, v float32) message {
	return protowire.AppendFixed32(protowire.AppendTag(m, field, protowire.Fixed32Type), math.Float32bits(v))
}

func (m message) sub(field protowire.Number, s message) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), s)
}

// announced begins a field of bytes that follow.
func (m message) announced(field protowire.Number, length int) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.BytesType), uint64(length))
}

// constant is a tensor of the graph: floats or integers, or a matrix that is written transposed.
type constant struct {
	name       string
	dims       []int
	floats     []float32
	integers   []int64
	transposed bool // floats are (dims[1], dims[0])
}

func (c *constant) bytes() int { return 4*len(c.floats) + 8*len(c.integers) }

// head is all of the tensor but its data.
func (c *constant) head() message {
	var m message
	for _, d := range c.dims {
		m = m.integer(tensorDims, int64(d))
	}
	elem := int64(elemFloat)
	if c.floats == nil {
		elem = elemInt64
	}
	return m.integer(tensorType, elem).text(tensorName, c.name).announced(tensorRaw, c.bytes())
}

func (c *constant) writeData(w io.Writer) error {
	b := make([]byte, 0, 1<<16)
	flush := func() error {
		_, err := w.Write(b)
		b = b[:0]
		return err
	}
	for i := range max(len(c.floats), len(c.integers)) {
		if len(b)+8 > cap(b) {
			if err := flush(); err != nil {
				return err
			}
		}
		switch {
		case c.transposed:
			rows, cols := c.dims[0], c.dims[1]
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(c.floats[i%cols*rows+i/cols]))
		case c.floats != nil:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(c.floats[i]))
		default:
			b = binary.LittleEndian.AppendUint64(b, uint64(c.integers[i]))
		}
	}
	return flush()
}
