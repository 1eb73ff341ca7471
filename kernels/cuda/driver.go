package cuda

// Driver is what this package needs of a GPU. All work but Download, Sync and SyncEvent is asynchronous, in the order of its stream. A Driver is used by one
// goroutine at a time.
type Driver interface {
	Info() Info

	Alloc(bytes int) (Ptr, error)
	Free(p Ptr) error
	// HostMemory is page-locked memory of this process, which copies may read and write while the program goes on.
	HostMemory(bytes int) ([]byte, error)
	FreeHostMemory(m []byte) error

	// Load makes a module of PTX; the error holds what the compiler said.
	Load(ptx []byte) (Module, error)
	// Function is a kernel of a module that will be launched with up to shared bytes of dynamic shared memory.
	Function(m Module, name string, shared int) (Function, error)
	Launch(f Function, l *Launch) error
	// TensorMap encodes a description for copies by TMA (compute capability 9.0).
	TensorMap(m *TensorMap) ([128]byte, error)

	// Upload copies to the GPU. src may be used again when Upload returns, unless it is HostMemory: then when the stream has done it.
	Upload(s Stream, dst Ptr, src []byte) error
	// Download waits for the compute stream and copies from the GPU.
	Download(dst []byte, src Ptr) error
	// DownloadLater copies to HostMemory in the order of the stream.
	DownloadLater(s Stream, dst []byte, src Ptr) error
	Copy(dst, src Ptr, bytes int) error
	// Fill writes n 32-bit words.
	Fill(dst Ptr, word uint32, n int) error

	NewEvent() (Event, error)
	Record(e Event, s Stream) error
	// Wait makes what follows in the stream wait for the event's last Record.
	Wait(s Stream, e Event) error
	SyncEvent(e Event) error
	// Elapsed is the time between two recorded events, in seconds; it waits for the later.
	Elapsed(from, to Event) (float64, error)
	Sync() error

	// BeginCapture makes the compute stream record what it is given instead of doing it, until EndCapture.
	BeginCapture() error
	EndCapture() (Graph, error)
	Replay(g Graph) error
	FreeGraph(g Graph) error

	Close() error
}

// Ptr is an address in a GPU's memory.
type Ptr uint64

// Add is the address n elements further.
func (p Ptr) Add(n int, t Type) Ptr { return p + Ptr(n*t.Size()) }

// Module, Function, Event and Graph are a Driver's names of things.
type (
	Module   uintptr
	Function uintptr
	Event    uintptr
	Graph    uintptr
)

// Stream is a queue of work.
type Stream int

// Compute runs kernels; Copies brings what they will need.
const (
	Compute Stream = iota
	Copies
)

// Info describes a GPU.
type Info struct {
	Name            string
	Driver          string // its version, as 580.65 or CUDA 13.0
	Major, Minor    int    // compute capability
	Multiprocessors int
	Memory          int64 // bytes
	SharedPerBlock  int   // the most dynamic shared memory a block may ask for, in bytes
}

// Type is the type of elements.
type Type uint8

// Float32 and BFloat16 are the types that tensors have.
const (
	Float32 Type = iota
	BFloat16
)

// Size is that of an element in bytes.
func (t Type) Size() int {
	if t == BFloat16 {
		return 2
	}
	return 4
}

// String is the suffix of the kernels of that type: f32 or bf16.
func (t Type) String() string {
	if t == BFloat16 {
		return "bf16"
	}
	return "f32"
}

// Dim is a number of blocks or threads; 0 is 1.
type Dim struct{ X, Y, Z int }

// Launch is one run of a kernel.
type Launch struct {
	Grid, Block, Cluster Dim
	Shared               int     // bytes of dynamic shared memory
	Args                 []byte  // the arguments, each at the next multiple of its size
	Offsets              []int32 // where each argument begins in Args
}

// TensorMap describes a matrix, or a stack of matrices, that TMA copies in boxes; dimensions and box are in elements, the fastest first.
type TensorMap struct {
	Base    Ptr
	Type    Type
	Dims    []int // up to 5
	Strides []int // of dimensions 1…, in bytes: multiples of 16
	Box     []int
	Swizzle int // bytes: 0, 32, 64 or 128
}
