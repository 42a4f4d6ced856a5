package vm

import "testing"

func TestForeign(t *testing.T) {
	var f Foreign
	add := func(addr uint64, data string, ok bool) {
		t.Helper()
		if err := f.Add(Segment{Addr: addr, Data: []byte(data)}); (err == nil) != ok {
			t.Errorf("add %#x %q: %v", addr, data, err)
		}
	}
	const top = 0xffff888000000000
	add(top, "hello", true)
	add(top+5, " world", true) // neighbour
	add(top+4, "x", false)     // overlaps
	add(top-3, "abcd", false)
	add(top-3, "abc", true)
	add(0x7fff0000, "user", true)
	add(0, "", false)
	add(^uint64(0)-1, "abc", false) // wraps

	buf := make([]byte, 14)
	if n := f.Read(buf, top-3); n != 14 || string(buf) != "abchello world" {
		t.Errorf("read %d %q", n, buf)
	}
	if n := f.Read(buf, top+8); n != 3 {
		t.Errorf("read at the end: %d bytes", n)
	}
	if n := f.Read(buf[:4], 0x7fff0001); n != 3 {
		t.Errorf("short segment: %d bytes", n)
	}
	if n := f.Write(top+3, []byte("p!")); n != 2 {
		t.Errorf("wrote %d bytes", n)
	}
	if f.Read(buf, top); string(buf[:5]) != "help!" {
		t.Errorf("after write: %q", buf[:5])
	}
	f.Remove(top)
	if f.Find(top) != nil || f.Find(top+5) == nil {
		t.Error("Remove took the wrong segment")
	}
}
