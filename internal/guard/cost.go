package guard

import (
	"errors"
	"math/bits"
	"strconv"
	"strings"

	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// costOf says what a call may cost, from its arguments. It may stop counting at most.
type costOf func(args []ref.Val, most uint64) uint64

const (
	opEquals    = operators.Equals
	opNotEquals = operators.NotEquals

	// textUnit is how many bytes of a text are handled for a cost of 1.
	textUnit = 64
	// maxText bounds a text that a single call makes, in bytes: objects themselves are not larger.
	maxText = 8 << 20
	// tooMuch is more than is ever left.
	tooMuch = 1 << 62
)

// cheap are operators that the interpreter has a way of its own for, each of one step.
var cheap = map[string]bool{
	operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true, operators.Conditional: true,
	operators.NotStrictlyFalse: true, operators.Index: true, operators.OptIndex: true, operators.OptSelect: true,
}

// single is the cost of functions of one step, whatever they are called with.
func single([]ref.Val, uint64) uint64 { return 1 }

// costs are those of functions that take more steps than the size of what they are called with, or fewer.
var costs = map[string]costOf{
	operators.Add:           addition,
	opEquals:                comparison,
	opNotEquals:             comparison,
	operators.Less:          comparison,
	operators.Greater:       comparison,
	operators.LessEquals:    comparison,
	operators.GreaterEquals: comparison,
	"size":                  counting,
	"startsWith":            comparison,
	"endsWith":              comparison,
	operators.Subtract:      single, operators.Multiply: single, operators.Divide: single, operators.Modulo: single, operators.Negate: single,
	"type": single, "dyn": single, "first": single, "last": single,
	"optional.of": single, "optional.none": single, "hasValue": single, "value": single,
	operators.In:      membership,
	"indexOf":         search,
	"lastIndexOf":     search,
	"sets.contains":   pairs,
	"sets.equivalent": pairs,
	"sets.intersects": pairs,
	"distinct":        func(args []ref.Val, most uint64) uint64 { return times(weigh(args[0], most), length(args[0])) },
	"sort":            func(args []ref.Val, most uint64) uint64 { return times(weigh(args[0], most), 32) },
	"flatten":         flattening,
	"lists.range":     func(args []ref.Val, _ uint64) uint64 { return natural(args[0]) },
	"cel.@mapInsert":  func(args []ref.Val, _ uint64) uint64 { return length(args[len(args)-1]) },
	"matches":         matching,
	"find":            matching,
	"findAll":         matching,
	"replace":         replacement,
	"join":            joining,
	"split":           splitting,
	"format":          formatting,
	"quantity":        quantity,
	"isQuantity":      quantity,
	"getDate":         partOfTime,
	"getDayOfMonth":   partOfTime,
	"getDayOfWeek":    partOfTime,
	"getDayOfYear":    partOfTime,
	"getFullYear":     partOfTime,
	"getHours":        partOfTime,
	"getMilliseconds": partOfTime,
	"getMinutes":      partOfTime,
	"getMonth":        partOfTime,
	"getSeconds":      partOfTime,
}

// whole is the work of functions that look at all that they are called with, a few times.
func whole(args []ref.Val, most uint64) uint64 {
	total := uint64(0)
	for _, arg := range args {
		total = plus(total, weigh(arg, most))
	}
	return times(total, 4)
}

// addition copies texts and lists, but for the list that a loop is making, which grows in place. See metered.call.
func addition(args []ref.Val, _ uint64) uint64 {
	switch args[0].(type) {
	case traits.MutableLister:
		return length(args[1])
	case traits.Lister:
		return plus(length(args[0]), length(args[1]))
	}
	return long(plus(uint64(len(text(args[0]))), uint64(len(text(args[1])))))
}

// counting counts the characters of a text. Other sizes are known.
func counting(args []ref.Val, _ uint64) uint64 { return uint64(len(text(args[0])))/textUnit + 1 }

// comparison ends with the smaller of two values.
func comparison(args []ref.Val, most uint64) uint64 {
	first := weigh(args[0], most)
	return min(first, weigh(args[1], min(first, most)))
}

// membership is a look-up in a map, and a comparison with every element of a list.
func membership(args []ref.Val, most uint64) uint64 {
	if _, ok := args[1].(traits.Lister); !ok {
		return 1
	}
	return times(length(args[1]), weigh(args[0], most))
}

// search looks for a text at every place in another, or for an element in a list.
func search(args []ref.Val, most uint64) uint64 {
	if in, ok := args[0].(types.String); ok {
		return times(uint64(len(in))+1, weigh(args[1], most))
	}
	return membership([]ref.Val{args[1], args[0]}, most)
}

// pairs compares every element with every other one.
func pairs(args []ref.Val, most uint64) uint64 {
	return times(weigh(args[0], most), plus(length(args[1]), 1))
}

func flattening(args []ref.Val, most uint64) uint64 {
	depth := uint64(1)
	if len(args) > 1 {
		depth = natural(args[1])
	}
	return times(weigh(args[0], most), min(depth, 1<<10)+1)
}

// replacement bounds how long the result can become.
func replacement(args []ref.Val, _ uint64) uint64 {
	in, old, replaced := text(args[0]), text(args[1]), text(args[2])
	places := uint64(len(in) + 1)
	if len(old) > 0 {
		places = uint64(len(in) / len(old))
	}
	return long(plus(uint64(len(in)), times(places, uint64(len(replaced)))))
}

func joining(args []ref.Val, most uint64) uint64 {
	size := times(weigh(args[0], most), textUnit)
	if len(args) > 1 {
		size = plus(size, times(length(args[0]), uint64(len(text(args[1])))))
	}
	return long(size)
}

// splitting makes up to a list element of every byte.
func splitting(args []ref.Val, _ uint64) uint64 {
	return times(uint64(len(text(args[0]))/max(len(text(args[1])), 1)), 2) + 1
}

// formatting bounds how long the result can become: numbers are written with the digits asked for, and what is nested is
// copied at every level.
func formatting(args []ref.Val, most uint64) uint64 {
	nested := scale{most: most, nested: true}
	nested.value(args[1])
	size := times(nested.sum, textUnit)
	for _, clause := range strings.Split(text(args[0]), "%.")[1:] {
		end := strings.IndexFunc(clause, func(r rune) bool { return r < '0' || r > '9' })
		digits, err := strconv.ParseUint(clause[:max(end, 0)], 10, 32)
		if err != nil {
			digits = 0
		}
		size = plus(size, digits)
	}
	return long(plus(size, uint64(len(text(args[0])))))
}

// zoneCost is what it takes to read a time zone.
const zoneCost = 1000

// partOfTime may have to read a time zone.
func partOfTime(args []ref.Val, _ uint64) uint64 {
	if len(args) < 2 {
		return 1
	}
	return zoneCost
}

// maxExponent bounds the exponent of a quantity: as a number, it is written out with all its digits.
const maxExponent = 100

// quantity bounds the digits that have to be handled.
func quantity(args []ref.Val, _ uint64) uint64 {
	written := text(args[0])
	if at := strings.LastIndexAny(written, "eE"); at >= 0 {
		exponent, err := strconv.ParseInt(strings.TrimPrefix(written[at+1:], "+"), 10, 64)
		if err == nil && (exponent > maxExponent || exponent < -maxExponent) || errors.Is(err, strconv.ErrRange) {
			return tooMuch
		}
	}
	return times(uint64(len(written)), uint64(len(written)))/textUnit + 1
}

// long is the cost of making a text of at most so many bytes.
func long(size uint64) uint64 {
	if size > maxText {
		return tooMuch
	}
	return size/textUnit + 1
}

// length is the number of elements of a list or a map, 1 for everything else.
func length(v ref.Val) uint64 {
	sizer, ok := v.(traits.Sizer)
	if !ok {
		return 1
	}
	size, ok := sizer.Size().(types.Int)
	if !ok || size < 0 {
		return tooMuch
	}
	return uint64(size)
}

func natural(v ref.Val) uint64 {
	n, ok := v.(types.Int)
	if !ok || n < 0 {
		return 1
	}
	return uint64(n)
}

func text(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

func plus(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return tooMuch
}

func times(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high > 0 {
		return tooMuch
	}
	return low
}
