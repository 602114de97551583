// Compiled once per instruction set; CMakeLists.txt gives the name of the namespace, the width of a vector
// register and the number of registers.
#include "native/kernels.h"

#include "native/kernels/embedding.h"
#include "native/kernels/interaction.h"
#include "native/kernels/peak.h"

namespace frames::native::FRAMES_NATIVE_ISA {

template <class T>
const Kernels<T>& table() {
  static constexpr Kernels<T> kernels = {geometry<T>,
                                         embed_edges<T>,
                                         embed_nodes<T>,
                                         mix_features<T>,
                                         messages<T>,
                                         update<T>,
                                         readout<T>,
                                         update_backward<T>,
                                         messages_backward<T>,
                                         moments_backward<T>,
                                         mix_backward<T>,
                                         embed_nodes_backward<T>,
                                         embed_edges_backward<T>,
                                         multiply_adds<T>};
  return kernels;
}

template const Kernels<float>& table<float>();
template const Kernels<double>& table<double>();

}  // namespace frames::native::FRAMES_NATIVE_ISA
