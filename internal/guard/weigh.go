package guard

import (
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// weigh counts the parts of a value, texts by their length, until most. What stands in a value several times counts
// several times, since that is how often it is looked at.
func weigh(v ref.Val, most uint64) uint64 {
	w := scale{most: most}
	w.value(v)
	return w.sum
}

type scale struct {
	sum, most uint64
	// nested counts everything once for each level that it is under.
	nested bool
	depth  uint64
}

// add counts something of a cost, and says whether there is more to count.
func (s *scale) add(cost uint64) bool {
	if s.nested {
		cost = times(cost, s.depth+1)
	}
	s.sum = plus(s.sum, cost)
	return s.sum <= s.most
}

func (s *scale) value(v ref.Val) {
	switch v := v.(type) {
	case types.String:
		s.add(1 + uint64(len(v))/textUnit)
	case types.Bytes:
		s.add(1 + uint64(len(v))/textUnit)
	case *types.Optional:
		if s.add(1) && v.HasValue() {
			s.value(v.GetValue())
		}
	case traits.Lister:
		s.list(v)
	case traits.Mapper:
		s.mapping(v)
	default:
		s.add(1)
	}
}

func (s *scale) list(l traits.Lister) {
	if known, ok := l.(*list); ok {
		s.content(known.content)
		return
	}
	s.add(1)
	s.depth++
	size, ok := l.Size().(types.Int)
	if !ok || size < 0 {
		s.add(tooMuch) // nobody can count it
	}
	for i := types.Int(0); i < size && s.sum <= s.most; i++ {
		s.value(l.Get(i))
	}
	s.depth--
}

func (s *scale) mapping(m traits.Mapper) {
	if o, ok := m.(*object); ok {
		s.content(o.content)
		return
	}
	s.add(1)
	s.depth++
	for it := m.Iterator(); it.HasNext() == types.True && s.sum <= s.most; {
		key := it.Next()
		s.value(key)
		if v, found := m.Find(key); found {
			s.value(v)
		}
	}
	s.depth--
}

// content weighs what stands in an object, without making CEL values of it.
func (s *scale) content(v any) {
	switch v := v.(type) {
	case string:
		s.add(1 + uint64(len(v))/textUnit)
	case []any:
		s.add(1)
		s.depth++
		for _, element := range v {
			if s.content(element); s.sum > s.most {
				break
			}
		}
		s.depth--
	case map[string]any:
		s.add(1)
		s.depth++
		for key, below := range v {
			if s.content(below); !s.add(1 + uint64(len(key))/textUnit) {
				break
			}
		}
		s.depth--
	case ref.Val:
		s.value(v)
	default:
		s.add(1)
	}
}
