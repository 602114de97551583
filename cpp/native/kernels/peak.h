// What the processor could do at most: multiply-adds on registers alone.
#pragma once

#include "native/kernels/simd.h"

namespace frames::native::FRAMES_NATIVE_ISA {

/// Runs that many rounds of independent multiply-adds and returns the number of operations, two for each of
/// them.
template <class T>
double multiply_adds(std::int64_t rounds) {
  using V = Vec<T>;
  constexpr int chains = FRAMES_NATIVE_REGISTERS >= 32 ? 24 : 12;
  V sum[chains];
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) sum[i] = V{} + T(i);
  V factor = V{} + T(0.999), term = V{} + T(0.001);
  for (std::int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 24
    for (int i = 0; i < chains; ++i) sum[i] = sum[i] * factor + term;
    asm volatile("");  // keeps the loop from being merged with the next round
  }
  V total{};
#pragma GCC unroll 24
  for (int i = 0; i < chains; ++i) total += sum[i];
  volatile T sink = sum_lanes<T, lanes<T>>(total);
  static_cast<void>(sink);
  return 2.0 * static_cast<double>(rounds) * chains * lanes<T>;
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
