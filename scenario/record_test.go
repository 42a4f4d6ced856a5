package scenario

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bpfvm/runtime"
)

// Records have the types that the object names, or that the caller says; shorter
// ones are filled up with zeros, and those of no known type stay bytes.
func TestRecordTypes(t *testing.T) {
	o := load(t, "trace/records.bpf.o", nil)
	cs := o.Collection.Spec()
	data := append([]byte{42, 0, 0, 0, 1, 0, 0, 0}, make([]byte, 48)...)
	tests := []struct {
		said map[string]string
		rec  runtime.Record
		want string
	}{
		{nil, runtime.Record{Map: "opened", Data: data}, `{pid=42, how=HOW_WRITE, comm="", name=""}`},
		{nil, runtime.Record{Map: "exited", Data: data[:8]}, `{pid=42, code=1}`},
		{nil, runtime.Record{Map: "exited", Data: data[:12]}, ``},
		{map[string]string{"exited": "struct exit_event"}, runtime.Record{Map: "exited", Data: data[:12]}, `{pid=42, code=1}`},
		{map[string]string{"": "open_event"}, runtime.Record{Map: "opened", Data: data[:4]}, `{pid=42, how=HOW_READ, comm="", name=""}`},
	}
	for _, tt := range tests {
		types, err := NewRecordTypes(cs, tt.said)
		if err != nil {
			t.Fatal(err)
		}
		rec := types.Record(tt.rec)
		if got := rec.Text(); got != tt.want {
			t.Errorf("%v %s %x: got %s, want %s", tt.said, tt.rec.Map, tt.rec.Data, got, tt.want)
		}
	}
	for _, said := range []map[string]string{{"opend": "open_event"}, {"opened": "no_such_type"}} {
		if _, err := NewRecordTypes(cs, said); err == nil {
			t.Errorf("%v is taken", said)
		}
	}
	types, _ := NewRecordTypes(cs, nil)
	got, err := json.Marshal(types.Record(runtime.Record{Map: "exited", Data: data[:8]}))
	want := `{"map":"exited","cpu":0,"time_ns":0,"data":"2a00000001000000","type":"struct exit_event","value":{"pid":42,"code":1}}`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("(-want +got)\n%s%v", diff, err)
	}
}
