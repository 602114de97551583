#include "native/kernels.h"

#include "core/error.h"

namespace frames::native {

// Defined in kernels/kernels.cpp, once per instruction set.
#define FRAMES_DECLARE_KERNELS(isa) \
  namespace isa {                   \
  template <class T>                \
  const Kernels<T>& table();        \
  }

FRAMES_DECLARE_KERNELS(baseline)
#ifdef FRAMES_NATIVE_X86
FRAMES_DECLARE_KERNELS(avx2)
FRAMES_DECLARE_KERNELS(avx512)
#endif

#undef FRAMES_DECLARE_KERNELS

template <class T>
const Kernels<T>& kernels(InstructionSet set) {
  switch (set) {
    case InstructionSet::baseline:
      return baseline::table<T>();
#ifdef FRAMES_NATIVE_X86
    case InstructionSet::avx2:
      return avx2::table<T>();
    case InstructionSet::avx512:
      return avx512::table<T>();
#endif
    default:
      throw Error("the native engine was built without kernels for " + name(set));
  }
}

template const Kernels<float>& kernels<float>(InstructionSet);
template const Kernels<double>& kernels<double>(InstructionSet);

}  // namespace frames::native
