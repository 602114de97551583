// Algebra of 3x3 tensors by their nine components in the orthonormal basis of python/frames/nn/tensors.py:
// 0 scalar, 1-3 antisymmetric (a polar vector), 4-8 symmetric traceless (xy, yz, xz, xx - yy, 2zz - xx - yy).
// V is a number or a vector of numbers, one per channel.
#pragma once

#include "native/kernels/simd.h"
#include "native/layout.h"

namespace frames::native::FRAMES_NATIVE_ISA {

#define FRAMES_INLINE inline __attribute__((always_inline))

template <class V>
struct Tensor {
  V c[components];
};

template <class V, class T>
FRAMES_INLINE Tensor<V> load_tensor(const T* from) {
  Tensor<V> x;
#pragma GCC unroll 9
  for (int i = 0; i < components; ++i) x.c[i] = load<V>(from + i * block);
  return x;
}

template <class V, class T>
FRAMES_INLINE void store_tensor(T* to, const Tensor<V>& x) {
#pragma GCC unroll 9
  for (int i = 0; i < components; ++i) store(to + i * block, x.c[i]);
}

template <class V>
FRAMES_INLINE Tensor<V> operator+(const Tensor<V>& a, const Tensor<V>& b) {
  Tensor<V> r;
#pragma GCC unroll 9
  for (int i = 0; i < components; ++i) r.c[i] = a.c[i] + b.c[i];
  return r;
}

template <class V>
FRAMES_INLINE Tensor<V> operator-(const Tensor<V>& a, const Tensor<V>& b) {
  Tensor<V> r;
#pragma GCC unroll 9
  for (int i = 0; i < components; ++i) r.c[i] = a.c[i] - b.c[i];
  return r;
}

/// Factors for the three parts.
template <class V>
FRAMES_INLINE Tensor<V> scaled(const Tensor<V>& x, V scalar, V antisymmetric, V symmetric) {
  Tensor<V> r;
  r.c[0] = scalar * x.c[0];
#pragma GCC unroll 3
  for (int i = 1; i < 4; ++i) r.c[i] = antisymmetric * x.c[i];
#pragma GCC unroll 5
  for (int i = 4; i < 9; ++i) r.c[i] = symmetric * x.c[i];
  return r;
}

template <class V>
struct Parts {
  V scalar, antisymmetric, symmetric;
};

/// tr(A^T B), part by part.
template <class V>
FRAMES_INLINE Parts<V> part_products(const Tensor<V>& a, const Tensor<V>& b) {
  return {a.c[0] * b.c[0], a.c[1] * b.c[1] + a.c[2] * b.c[2] + a.c[3] * b.c[3],
          a.c[4] * b.c[4] + a.c[5] * b.c[5] + a.c[6] * b.c[6] + a.c[7] * b.c[7] + a.c[8] * b.c[8]};
}

template <class V>
FRAMES_INLINE V product(const Tensor<V>& a, const Tensor<V>& b) {
  const Parts<V> p = part_products(a, b);
  return p.scalar + p.antisymmetric + p.symmetric;
}

template <class V>
FRAMES_INLINE Tensor<V> transposed(const Tensor<V>& x) {
  Tensor<V> r = x;
#pragma GCC unroll 3
  for (int i = 1; i < 4; ++i) r.c[i] = -x.c[i];
  return r;
}

/// The six different entries of a symmetric matrix.
template <class V>
struct Symmetric {
  V xx, yy, zz, xy, yz, xz;
};

template <class T, class V>
FRAMES_INLINE Symmetric<V> symmetric_entries(const Tensor<V>& a) {
  constexpr T root_half = T(0.70710678118654752440), root_sixth = T(0.40824829046386301637);
  const V s = a.c[7] * root_half;
  const V w = a.c[8] * root_sixth;
  return {s - w, -s - w, w + w, a.c[4] * root_half, a.c[5] * root_half, a.c[6] * root_half};
}

/// AB + BA. With A = a/sqrt3 + [u]x/sqrt2 + S and B = b/sqrt3 + [v]x/sqrt2 + T:
///   scalar         2/sqrt3 (ab - u.v + S:T)
///   antisymmetric  2/sqrt3 (av + bu) - Tu - Sv
///   symmetric      2/sqrt3 (aT + bS) + traceless part of (uv^T + vu^T)/2 + ST + TS
template <class T, class V>
FRAMES_INLINE Tensor<V> anticommutator(const Tensor<V>& a, const Tensor<V>& b) {
  constexpr T root_sixth = T(0.40824829046386301637);
  constexpr T two_over_root3 = T(1.15470053837925152902), root2 = T(1.41421356237309504880);
  const V p = a.c[0] * two_over_root3, q = b.c[0] * two_over_root3;
  const V* const u = a.c + 1;
  const V* const v = b.c + 1;
  const Symmetric<V> s = symmetric_entries<T>(a);
  const Symmetric<V> t = symmetric_entries<T>(b);
  Tensor<V> r;
  const Parts<V> dot = part_products(a, b);
  r.c[0] = two_over_root3 * (dot.scalar - dot.antisymmetric + dot.symmetric);
  r.c[1] = p * v[0] + q * u[0] - (t.xx * u[0] + t.xy * u[1] + t.xz * u[2]) -
           (s.xx * v[0] + s.xy * v[1] + s.xz * v[2]);
  r.c[2] = p * v[1] + q * u[1] - (t.xy * u[0] + t.yy * u[1] + t.yz * u[2]) -
           (s.xy * v[0] + s.yy * v[1] + s.yz * v[2]);
  r.c[3] = p * v[2] + q * u[2] - (t.xz * u[0] + t.yz * u[1] + t.zz * u[2]) -
           (s.xz * v[0] + s.yz * v[1] + s.zz * v[2]);
  // Halves of the entries of (uv^T + vu^T)/2 + ST + TS on the diagonal, the entries themselves beside it.
  const V xy_xy = s.xy * t.xy, yz_yz = s.yz * t.yz, xz_xz = s.xz * t.xz;
  const V xx = T(0.5) * (u[0] * v[0]) + s.xx * t.xx + xy_xy + xz_xz;
  const V yy = T(0.5) * (u[1] * v[1]) + s.yy * t.yy + xy_xy + yz_yz;
  const V zz = T(0.5) * (u[2] * v[2]) + s.zz * t.zz + xz_xz + yz_yz;
  const V xy = T(0.5) * (u[0] * v[1] + u[1] * v[0]) + s.xy * (t.xx + t.yy) + t.xy * (s.xx + s.yy) +
               s.xz * t.yz + s.yz * t.xz;
  const V yz = T(0.5) * (u[1] * v[2] + u[2] * v[1]) + s.yz * (t.yy + t.zz) + t.yz * (s.yy + s.zz) +
               s.xy * t.xz + s.xz * t.xy;
  const V xz = T(0.5) * (u[0] * v[2] + u[2] * v[0]) + s.xz * (t.xx + t.zz) + t.xz * (s.xx + s.zz) +
               s.xy * t.yz + s.yz * t.xy;
  r.c[4] = p * b.c[4] + q * a.c[4] + root2 * xy;
  r.c[5] = p * b.c[5] + q * a.c[5] + root2 * yz;
  r.c[6] = p * b.c[6] + q * a.c[6] + root2 * xz;
  r.c[7] = p * b.c[7] + q * a.c[7] + root2 * (xx - yy);
  r.c[8] = p * b.c[8] + q * a.c[8] + (T(2) * root_sixth) * (zz + zz - xx - yy);
  return r;
}

/// X / (1 + |X|^2) and what its derivative needs.
template <class V>
struct Saturated {
  Tensor<V> value;
  V factor;
};

template <class T, class V>
FRAMES_INLINE Saturated<V> saturate(const Tensor<V>& x) {
  const V factor = T(1) / (T(1) + product(x, x));
  return {scaled(x, factor, factor, factor), factor};
}

/// Gradient with respect to X from the gradient g with respect to S = X / (1 + |X|^2): g / (1 + |X|^2) - 2 S
/// (S . g)
template <class T, class V>
FRAMES_INLINE Tensor<V> saturate_backward(const Saturated<V>& s, const Tensor<V>& g) {
  const V along = T(2) * product(s.value, g);
  Tensor<V> r;
#pragma GCC unroll 9
  for (int i = 0; i < components; ++i) r.c[i] = s.factor * g.c[i] - along * s.value.c[i];
  return r;
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
