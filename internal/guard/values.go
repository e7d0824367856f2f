package guard

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// adapter turns content as action.DecodeObject gives it into CEL values, one step at a time: nothing is copied, and what
// no expression reads costs nothing.
type adapter struct{}

// NativeToValue implements types.Adapter.
func (a adapter) NativeToValue(v any) ref.Val {
	switch v := v.(type) {
	case nil:
		return types.NullValue
	case string:
		return types.String(v)
	case int64:
		return types.Int(v)
	case bool:
		return types.Bool(v)
	case json.Number:
		return number(string(v))
	case map[string]any:
		return &object{Mapper: types.NewStringInterfaceMap(a, v), content: v}
	case []any:
		return &list{Lister: types.NewDynamicList(a, v), content: v}
	default:
		return types.DefaultTypeAdapter.NativeToValue(v)
	}
}

// object is a map whose keys come in their order, so that an expression says the same every time.
type object struct {
	traits.Mapper
	content map[string]any
}

// Iterator implements traits.Iterable.
func (o *object) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, slices.Sorted(maps.Keys(o.content))).Iterator()
}

// list is a list that can be weighed without making CEL values of it.
type list struct {
	traits.Lister
	content []any
}

// number is a literal that is no int64: a double where that means the same number, and else an error.
func number(literal string) ref.Val {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || !sameNumber(literal, strconv.FormatFloat(f, 'e', -1, 64)) {
		return types.NewErr("%s", errInexact)
	}
	return types.Double(f)
}

// errInexact begins the error for a number that CEL cannot hold.
const errInexact = "a number that is neither a 64-bit integer nor a double"

// sameNumber says whether two decimal literals mean the same number. It takes no longer for large exponents.
func sameNumber(a, b string) bool {
	digitsA, exponentA, okA := normal(a)
	digitsB, exponentB, okB := normal(b)
	return okA && okB && digitsA == digitsB && exponentA == exponentB
}

// normal splits a literal of JSON into its sign with the digits that count, and the exponent that belongs to them as a
// whole number.
func normal(literal string) (digits string, exponent int64, ok bool) {
	mantissa, power, hasPower := strings.Cut(strings.ToLower(literal), "e")
	if hasPower {
		var err error
		if exponent, err = strconv.ParseInt(power, 10, 32); err != nil {
			return "", 0, false
		}
	}
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	digits = strings.TrimRight(all, "0")
	if exponent += int64(len(all) - len(digits) - len(fraction)); digits == "" {
		exponent = 0
	}
	if negative {
		digits = "-" + digits
	}
	return digits, exponent, true
}
