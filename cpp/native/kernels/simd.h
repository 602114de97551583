// Vectors of the instruction set that this translation unit is compiled for (GCC's vector extension, which
// Clang has too). Everything here lives in a namespace of that instruction set and calls no inline function
// of the standard library, so that the linker cannot put code for one processor in the place of code for
// another.
#pragma once

#include <cstdint>

namespace frames::native::FRAMES_NATIVE_ISA {

template <class T>
struct IntOf;
template <>
struct IntOf<float> {
  using type = std::uint32_t;
};
template <>
struct IntOf<double> {
  using type = std::uint64_t;
};

/// `Lanes` numbers side by side. More than a register holds is split by the compiler.
template <class T, int Lanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
  typedef typename IntOf<T>::type integer __attribute__((vector_size(Lanes * sizeof(T))));
};

/// A register full of channels.
template <class T>
constexpr int lanes = FRAMES_NATIVE_VECTOR_BYTES / static_cast<int>(sizeof(T));
template <class T>
using Vec = typename VectorOf<T, lanes<T>>::type;

template <class V, class T>
inline __attribute__((always_inline)) V load(const T* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof(V));
  return v;
}

template <class V, class T>
inline __attribute__((always_inline)) void store(T* to, V v) {
  __builtin_memcpy(to, &v, sizeof(V));
}

/// Sum of all lanes.
template <class T, int Lanes>
inline __attribute__((always_inline)) T sum_lanes(typename VectorOf<T, Lanes>::type v) {
  if constexpr (Lanes == 1) {
    return v[0];
  } else {
    using Half = typename VectorOf<T, Lanes / 2>::type;
    Half low, high;
    __builtin_memcpy(&low, &v, sizeof(Half));
    __builtin_memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof(Half), sizeof(Half));
    return sum_lanes<T, Lanes / 2>(low + high);
  }
}

template <class T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr float low = -87.0f, high = 88.0f;
  static constexpr float round =
      12582912.0f;  // 1.5 x 2^23: adding it leaves the nearest integer in the low bits
  static constexpr float ln2_high = 0.693145751953125f, ln2_low = 1.42860682030941723e-6f;
  static constexpr int bias = 127, mantissa = 23, degree = 7;
};

template <>
struct ExpConstants<double> {
  static constexpr double low = -708.0, high = 709.0;
  static constexpr double round = 6755399441055744.0;  // 1.5 x 2^52
  static constexpr double ln2_high = 0.693147180369123816490, ln2_low = 1.90821492927058770002e-10;
  static constexpr int bias = 1023, mantissa = 52, degree = 13;
};

/// e^x to a few units in the last place; the argument is limited to where the result is a normal number.
template <class T, int Lanes>
inline __attribute__((always_inline)) typename VectorOf<T, Lanes>::type exponential(
    typename VectorOf<T, Lanes>::type x) {
  using V = typename VectorOf<T, Lanes>::type;
  using I = typename VectorOf<T, Lanes>::integer;
  using K = ExpConstants<T>;
  constexpr double inverse_factorial[14] = {1.0,
                                            1.0,
                                            1.0 / 2,
                                            1.0 / 6,
                                            1.0 / 24,
                                            1.0 / 120,
                                            1.0 / 720,
                                            1.0 / 5040,
                                            1.0 / 40320,
                                            1.0 / 362880,
                                            1.0 / 3628800,
                                            1.0 / 39916800,
                                            1.0 / 479001600,
                                            1.0 / 6227020800.0};
  x = x < K::low ? x - x + K::low : x;
  x = x > K::high ? x - x + K::high : x;
  const V shifted = x * static_cast<T>(1.44269504088896340736) + K::round;
  const V n = shifted - K::round;
  const V r = (x - n * K::ln2_high) - n * K::ln2_low;
  V p = r * static_cast<T>(inverse_factorial[K::degree]) + static_cast<T>(inverse_factorial[K::degree - 1]);
#pragma GCC unroll 16
  for (int i = K::degree - 2; i >= 0; --i) p = p * r + static_cast<T>(inverse_factorial[i]);
  I exponent;
  __builtin_memcpy(&exponent, &shifted, sizeof(I));
  exponent = (exponent + K::bias) << K::mantissa;
  V power;
  __builtin_memcpy(&power, &exponent, sizeof(V));
  return p * power;
}

/// x / (1 + e^-x) and its derivative.
template <class V>
struct Activation {
  V value, slope;
};

template <class T, int Lanes>
inline __attribute__((always_inline)) Activation<typename VectorOf<T, Lanes>::type> silu(
    typename VectorOf<T, Lanes>::type x) {
  using V = typename VectorOf<T, Lanes>::type;
  const V s = T(1) / (T(1) + exponential<T, Lanes>(-x));
  const V value = x * s;
  return {value, s + value * (T(1) - s)};
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
