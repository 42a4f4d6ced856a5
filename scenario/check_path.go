package scenario

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// checkPath compares a part of a value: a member of a structure, an element of an
// array. It looks at the value as its JSON shows it.
func (m *MapState) checkPath(e *Expect, value []byte) (bool, string) {
	j, err := m.valueJSON(value)
	if err != nil {
		return false, err.Error()
	}
	v, err := decodeJSON(j)
	if err != nil {
		return false, err.Error()
	}
	if v, err = walk(v, e.Path); err != nil {
		return false, err.Error()
	}
	part, err := json.Marshal(v)
	if err != nil {
		return false, err.Error()
	}
	got := string(part)
	text, isText := v.(string)
	switch want := e.Want; {
	case e.Op == "=~" || e.Op == "!~":
		return match(e, got, text), got
	case want.IsNumber():
		n, ok := new(big.Int).SetString(strings.Trim(got, "\""), 0)
		if !ok {
			return false, got + ", which is no number"
		}
		return compare(n.Cmp(want.big()), e.Op), got
	case want.Kind == ValueJSON:
		return sameJSON(part, []byte(want.Text)) == (e.Op == "=="), got
	default:
		s, _ := want.stringArg()
		return (isText && s == text) == (e.Op == "=="), got
	}
}

// big is the number with its sign.
func (v *Value) big() *big.Int {
	if v.Neg {
		return big.NewInt(int64(v.Num))
	}
	return new(big.Int).SetUint64(v.Num)
}

// walk follows a path such as ".state.names[1]" into decoded JSON.
func walk(v any, path string) (any, error) {
	for path != "" {
		rest := path[1:]
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		step := rest[:end]
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[step]
			if path[0] != '.' || !ok {
				var names []string
				for name := range node {
					names = append(names, name)
				}
				slices.Sort(names)
				return nil, fmt.Errorf("no member %s%s", step, didYouMean(step, names))
			}
			v = next
		case []any:
			i, err := strconv.Atoi(strings.TrimSuffix(step, "]"))
			if path[0] != '[' || err != nil || i >= len(node) {
				return nil, fmt.Errorf("no element %s, there are %d", path[:end+1], len(node))
			}
			v = node[i]
		default:
			return nil, fmt.Errorf("%s goes into a value that has no parts", path)
		}
		path = rest[end:]
	}
	return v, nil
}
