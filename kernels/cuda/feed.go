package cuda

// Feed brings arrays to the GPU while it computes: through page-locked memory, on the stream of copies, into buffers that are used in turn.
type Feed struct {
	d           *Device
	slots       []feedSlot
	sent, taken int
}

type feedSlot struct {
	host    []byte
	ptr     Ptr
	brought Event // the copy to the GPU is done
	read    Event // the work that reads it is done
	used    bool  // read has been recorded
}

// NewFeed makes a feed of arrays of so many bytes, at most slots of which are sent and not yet done with.
func (d *Device) NewFeed(bytes, slots int) *Feed {
	f := &Feed{d: d, slots: make([]feedSlot, slots)}
	for i := range f.slots {
		s := &f.slots[i]
		s.ptr = d.Alloc(bytes)
		if d.err != nil {
			return f
		}
		var err error
		if s.host, err = d.driver.HostMemory(bytes); err == nil {
			if s.brought, err = d.driver.NewEvent(); err == nil {
				s.read, err = d.driver.NewEvent()
			}
		}
		d.fail(err)
	}
	return f
}

// Close gives the feed's memory back.
func (f *Feed) Close() {
	for _, s := range f.slots {
		f.d.Free(s.ptr)
		if f.d.err == nil && s.host != nil {
			f.d.fail(f.d.driver.FreeHostMemory(s.host))
		}
	}
}

// Sent is how many arrays were sent and not taken.
func (f *Feed) Sent() int { return f.sent - f.taken }

// Send sends the array that write writes to page-locked memory, which it may do while the GPU computes.
func (f *Feed) Send(write func(to []byte)) {
	f.SendBytes(len(f.slots[f.sent%len(f.slots)].host), write)
}

// SendBytes is Send of an array of so many bytes. Where they are more than the buffer has, it is replaced by a larger one: addresses change.
func (f *Feed) SendBytes(bytes int, write func(to []byte)) {
	if f.Sent() == len(f.slots) {
		panic("cuda: Feed.Send of more arrays than it has buffers for")
	}
	s := &f.slots[f.sent%len(f.slots)]
	f.sent++
	d := f.d
	if d.err != nil {
		return
	}
	if f.sent > len(f.slots) {
		d.fail(d.driver.SyncEvent(s.brought)) // or the copy under way would read what is written now
	}
	if bytes > len(s.host) {
		f.grow(s, bytes)
		if d.err != nil {
			return
		}
	}
	write(s.host[:bytes])
	if s.used {
		d.fail(d.driver.Wait(Copies, s.read))
	}
	if d.err == nil {
		d.fail(d.driver.Upload(Copies, s.ptr, s.host[:bytes]))
		d.fail(d.driver.Record(s.brought, Copies))
	}
}

// grow gives a slot room for bytes, and a quarter more.
func (f *Feed) grow(s *feedSlot, bytes int) {
	d := f.d
	d.fail(d.driver.Sync()) // or the GPU would read memory that is given back
	d.Free(s.ptr)
	if d.err == nil {
		d.fail(d.driver.FreeHostMemory(s.host))
	}
	bytes += bytes / 4
	s.ptr = d.Alloc(bytes)
	if d.err == nil {
		var err error
		s.host, err = d.driver.HostMemory(bytes)
		d.fail(err)
	}
}

// Take is the address of the array that was sent first of those not taken; what is launched from now on finds it there.
func (f *Feed) Take() Ptr {
	if f.Sent() == 0 {
		panic("cuda: Feed.Take of an array that was not sent")
	}
	s := &f.slots[f.taken%len(f.slots)]
	f.taken++
	if f.d.err == nil {
		f.d.fail(f.d.driver.Wait(Compute, s.brought))
	}
	return s.ptr
}

// Done says that what has been launched so far is all that reads the arrays that were taken.
func (f *Feed) Done() {
	if f.d.err != nil {
		return
	}
	for i := max(0, f.taken-len(f.slots)); i < f.taken; i++ {
		s := &f.slots[i%len(f.slots)]
		f.d.fail(f.d.driver.Record(s.read, Compute))
		s.used = true
	}
}
