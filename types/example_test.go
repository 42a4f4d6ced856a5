package types_test

import (
	"fmt"

	"bpfvm/types"

	"github.com/cilium/ebpf/btf"
)

// Where the kernel keeps a task's parent, and how it declares that field.
func Example() {
	target, err := types.Target()
	if err != nil {
		fmt.Println(err)
		return
	}
	f, err := types.FindField(target, "task_struct", "real_parent")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(types.Declare(f.Type, "real_parent"), "is", f.Size, "bytes long")

	args, err := types.TracepointArgs(target, "sched_process_exec")
	if err != nil {
		fmt.Println(err)
		return
	}
	for i, a := range args {
		fmt.Printf("args[%d] %s\n", i, types.Declare(a.Type, a.Name))
	}
	// Output:
	// struct task_struct *real_parent is 8 bytes long
	// args[0] struct task_struct *p
	// args[1] pid_t old_pid
	// args[2] struct linux_binprm *bprm
}

func ExampleFormat() {
	u64 := &btf.Int{Name: "u64", Size: 8}
	info := &btf.Struct{Name: "info", Size: 16, Members: []btf.Member{
		{Name: "ts", Type: u64},
		{Name: "ip", Type: u64, Offset: 64},
	}}
	data, err := types.Parse(info, []byte(`{"ts": 1000, "ip": "0xffffffff81000000"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := types.Text(info, data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(text)
	js, err := types.Format(info, data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(js))
	// Output:
	// {ts=1000, ip=0xffffffff81000000}
	// {"ts":1000,"ip":18446744071578845184}
}

func ExampleDefine() {
	op := &btf.Pointer{Target: &btf.FuncProto{
		Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
		Params: []btf.FuncParam{{Name: "ctx", Type: &btf.Pointer{Target: (*btf.Void)(nil)}}},
	}}
	s := &btf.Struct{Name: "hook", Size: 24, Members: []btf.Member{
		{Name: "run", Type: op},
		{Name: "name", Type: &btf.Array{Type: &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}, Nelems: 16}, Offset: 64},
	}}
	fmt.Println(types.Define(s, true))
	// Output:
	// struct hook {
	// 	int (*run)(void *ctx); /* 0 8 */
	// 	char name[16]; /* 8 16 */
	// } /* size 24 */;
}
