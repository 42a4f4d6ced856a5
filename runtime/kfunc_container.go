package runtime

import (
	"fmt"
	"slices"

	"bpfvm/spec"
)

func init() {
	registerKfunc("bpf_list_push_front_impl", spec.RetInteger, "any any any any", listPush(true))
	registerKfunc("bpf_list_push_back_impl", spec.RetInteger, "any any any any", listPush(false))
	registerKfunc("bpf_list_pop_front", spec.RetBTFIDOrNull, "any", listPop(true, true))
	registerKfunc("bpf_list_pop_back", spec.RetBTFIDOrNull, "any", listPop(false, true))
	registerKfunc("bpf_list_front", spec.RetBTFIDOrNull, "any", listPop(true, false))
	registerKfunc("bpf_list_back", spec.RetBTFIDOrNull, "any", listPop(false, false))
	registerKfunc("bpf_rbtree_add_impl", spec.RetInteger, "any any func any any", rbtreeAdd)
	registerKfunc("bpf_rbtree_remove", spec.RetBTFIDOrNull, "any any", rbtreeRemove)
	registerKfunc("bpf_rbtree_first", spec.RetBTFIDOrNull, "any", listPop(true, false))
}

// containers are the lists and trees that programs keep objects in, by the address of
// the head: bpf_list_head or bpf_rb_root in a map value or an object. A node is known
// by its address too; the bytes of heads and nodes stay zero.
type containers struct {
	nodes map[uint64][]uint64 // in the order of the list, or of the tree
	owner map[uint64]uint64   // node -> head
}

// insert puts a node at a place.
func (c *containers) insert(head, node uint64, at int) {
	if c.nodes == nil {
		c.nodes, c.owner = map[uint64][]uint64{}, map[uint64]uint64{}
	}
	c.nodes[head] = slices.Insert(c.nodes[head], at, node)
	c.owner[node] = head
}

// remove takes the node at a place out.
func (c *containers) remove(head uint64, at int) uint64 {
	node := c.nodes[head][at]
	delete(c.owner, node)
	if c.nodes[head] = slices.Delete(c.nodes[head], at, at+1); len(c.nodes[head]) == 0 {
		delete(c.nodes, head)
	}
	return node
}

// empty takes all nodes out of the containers whose heads lie in a piece of memory,
// and the nodes there out of theirs.
func (c *containers) empty(addr, size uint64) []uint64 {
	var all []uint64
	for off := uint64(0); off < size; off += 8 {
		for len(c.nodes[addr+off]) > 0 {
			all = append(all, c.remove(addr+off, 0))
		}
		if head, ok := c.owner[addr+off]; ok {
			c.remove(head, slices.Index(c.nodes[head], addr+off))
		}
	}
	return all
}

// checkNode judges head and node. A node that is in some container already is
// refused, and the object of it is dropped (__bpf_list_add).
func (e *Env) checkNode(head, node uint64) (spec.Errno, error) {
	if _, err := e.write(head, 16); err != nil {
		return 0, err
	}
	if _, err := e.write(node, 24); err != nil {
		return 0, err
	}
	if len(e.rt.containers.owner) >= maxObjects {
		return 0, fmt.Errorf("more than %d nodes in lists and trees", maxObjects)
	}
	if e.rt.containers.owner[node] != 0 {
		e.rt.dropObject(e.rt.objectOf(node))
		return spec.EINVAL, nil
	}
	return 0, nil
}

// listPush makes bpf_list_push_front_impl(head, node, meta, off) and its sibling.
func listPush(front bool) helperFunc {
	return func(e *Env, head, node, _, _, _ uint64) (uint64, error) {
		if errno, err := e.checkNode(head, node); errno != 0 || err != nil {
			return errno.Ret(), err
		}
		c := &e.rt.containers
		at := len(c.nodes[head])
		if front {
			at = 0
		}
		c.insert(head, node, at)
		return 0, nil
	}
}

// listPop makes bpf_list_pop_front(head) and its siblings, which leave the node where
// it is: the first or the last node, or NULL.
func listPop(front, remove bool) helperFunc {
	return func(e *Env, head, _, _, _, _ uint64) (uint64, error) {
		if _, err := e.write(head, 16); err != nil {
			return 0, err
		}
		c := &e.rt.containers
		at := len(c.nodes[head]) - 1
		switch {
		case at < 0:
			return 0, nil
		case front:
			at = 0
		}
		if remove {
			return c.remove(head, at), nil
		}
		return c.nodes[head][at], nil
	}
}

// rbtreeAdd is bpf_rbtree_add_impl(root, node, less, meta, off): less(a, b) says
// whether a comes before b; equal nodes keep the order in which they came.
func rbtreeAdd(e *Env, root, node, less, _, _ uint64) (uint64, error) {
	if errno, err := e.checkNode(root, node); errno != 0 || err != nil {
		return errno.Ret(), err
	}
	lo, hi := 0, len(e.rt.containers.nodes[root])
	for lo < hi {
		mid := (lo + hi) / 2
		before, err := e.m.Call(less, [5]uint64{node, e.rt.containers.nodes[root][mid]})
		switch {
		case err != nil:
			return 0, err
		case before != 0:
			hi = mid
		default:
			lo = mid + 1
		}
		hi = min(hi, len(e.rt.containers.nodes[root])) // the callback cannot change it if verified
	}
	e.rt.containers.insert(root, node, min(lo, len(e.rt.containers.nodes[root])))
	return 0, nil
}

// rbtreeRemove is bpf_rbtree_remove(root, node): the node, or NULL when it is not in
// this tree.
func rbtreeRemove(e *Env, root, node, _, _, _ uint64) (uint64, error) {
	c := &e.rt.containers
	if c.owner[node] != root || root == 0 {
		return 0, nil
	}
	return c.remove(root, slices.Index(c.nodes[root], node)), nil
}
