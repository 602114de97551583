// The first aggregation: geometry of the edges, sums over neighbours, first features; and the way back to the
// edges.
#pragma once

#include "native/kernels/gate.h"

namespace frames::native::FRAMES_NATIVE_ISA {

/// Radial functions of the embedding lie in groups of 8, whatever the width of a register.
constexpr int radial_group = 8;
template <class T>
using Radial = typename VectorOf<T, radial_group>::type;

template <class V>
struct ValueAndSlope {
  V value, slope;
};

/// Value and derivative of a polynomial of fifth degree whose coefficients lie `stride` elements apart.
template <class V, class T>
FRAMES_INLINE ValueAndSlope<V> polynomial(const T* c, std::ptrdiff_t stride, T t) {
  V value = load<V>(c + 5 * stride);
  V slope = value;
  value = value * t + load<V>(c + 4 * stride);
#pragma GCC unroll 4
  for (int i = 3; i >= 0; --i) {
    slope = slope * t + value;
    value = value * t + load<V>(c + i * stride);
  }
  return {value, slope};
}

template <class V, class T>
FRAMES_INLINE V polynomial_value(const T* c, std::ptrdiff_t stride, T t) {
  V value = load<V>(c + 5 * stride);
#pragma GCC unroll 5
  for (int i = 4; i >= 0; --i) value = value * t + load<V>(c + i * stride);
  return value;
}

/// Unit vectors, distances and places in the radial tables.
template <class T>
void geometry(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>&, int begin, int end) {
  const double half = p.radial_half, scale = p.radial_scale, last = p.intervals - 1;
  for (std::int64_t e = a.offsets[begin]; e < a.offsets[end]; ++e) {
    const double x = a.vectors[3 * e], y = a.vectors[3 * e + 1], z = a.vectors[3 * e + 2];
    const double distance = __builtin_sqrt(x * x + y * y + z * z);
    const double inverse = 1.0 / distance;
    const double shrink = 1.0 / (distance + half);
    const double place = scale * distance * shrink;
    const double interval = place < last ? static_cast<double>(static_cast<std::int32_t>(place)) : last;
    const double fraction = place - interval;
    a.directions[4 * e] = static_cast<T>(x * inverse);
    a.directions[4 * e + 1] = static_cast<T>(y * inverse);
    a.directions[4 * e + 2] = static_cast<T>(z * inverse);
    a.directions[4 * e + 3] = static_cast<T>(inverse);
    a.fractions[e] = static_cast<T>(fraction < 1.0 ? fraction : 1.0);
    a.intervals[e] = static_cast<std::int32_t>(interval);
    a.stretches[e] = scale * half * shrink * shrink;
    a.slopes[e] = 0.0;
  }
}

/// Where the sums over neighbours of a species and group of radial functions lie among the features of an
/// atom.
FRAMES_INLINE std::ptrdiff_t sums_offset(int channel) {
  return static_cast<std::ptrdiff_t>(channel / block) * (components * block) + channel % block;
}

/// Components of 1, [r]x and rr^T - 1/3 for a unit vector, each part of norm one.
template <class T>
FRAMES_INLINE void direction_components(T x, T y, T z, T* d) {
  constexpr T root3 = T(1.73205080756887729353);
  d[0] = T(1);
  d[1] = x;
  d[2] = y;
  d[3] = z;
  d[4] = root3 * x * y;
  d[5] = root3 * y * z;
  d[6] = root3 * x * z;
  d[7] = T(0.5) * root3 * (x * x - y * y);
  d[8] = T(1.5) * z * z - T(0.5);
}

/// The scalar parts of all neighbours add up where the other parts nearly cancel, and in a crystal they do so
/// in the same way around every atom: their sum is compensated (Kahan), or its rounding adds up in the
/// energy.
template <class T>
void embed_edges(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int begin, int end) {
  using V = Radial<T>;
  const std::ptrdiff_t atom_size = static_cast<std::ptrdiff_t>(components) * p.sums_width;
  __builtin_memset(scratch.sums, 0, static_cast<std::size_t>(end - begin) * atom_size * sizeof(T));
  for (int i = begin; i < end; ++i) {
    T* const sums = scratch.sums + (i - begin) * atom_size;
    __builtin_memset(scratch.lost, 0, static_cast<std::size_t>(p.sums_width) * sizeof(T));
    for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      T d[components];
      direction_components(a.directions[4 * e], a.directions[4 * e + 1], a.directions[4 * e + 2], d);
      const T t = a.fractions[e];
      const T* const c =
          p.embedding.radial + static_cast<std::ptrdiff_t>(a.intervals[e]) * 6 * p.radial_width;
      const int first = a.species[a.neighbours[e]] * p.radial_width;
      for (int f = 0; f < p.radial_width; f += radial_group) {
        const V value = polynomial_value<V>(c + f, p.radial_width, t);
        T* const to = sums + sums_offset(first + f);
        T* const lost = scratch.lost + first + f;
        const V sum = load<V>(to), term = value - load<V>(lost), next = sum + term;
        store(to, next);
        store(lost, (next - sum) - term);
#pragma GCC unroll 8
        for (int k = 1; k < components; ++k) store(to + k * block, load<V>(to + k * block) + value * d[k]);
      }
    }
  }
}

template <class T>
void embed_nodes(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int begin, int end) {
  using V = Vec<T>;
  const int atoms = end - begin, c = p.channels;
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(begin) * c;
  T* const x = a.embedded + components * start;
  T* const factors = a.embedded_factors + 3 * start;
  mix(scratch.sums, p.embedding.mix.forward, x, atoms);
  for (int i = 0; i < atoms; ++i) {
    const std::ptrdiff_t species = static_cast<std::ptrdiff_t>(a.species[begin + i]) * c;
    const T* const scale = p.embedding.scale + 3 * species;
    const T* const bias = p.embedding.bias + species;
    T* const xi = x + static_cast<std::ptrdiff_t>(i) * components * c;
    for_channels(scratch, 1, c, [&](auto feature, auto invariant, auto row) {
      const auto f = load_parts<V>(scale + invariant);
      Tensor<V> r = scaled(load_tensor<V>(xi + feature), f.scalar, f.antisymmetric, f.symmetric);
      r.c[0] += load<V>(bias + row);
      store_tensor(xi + feature, r);
    });
  }
  gate(p.embedding.gate, x, atoms, c, scratch, a.embedded_slopes + start, factors);
  T* const out = a.features + components * start;
  for_channels(scratch, atoms, c, [&](auto feature, auto invariant, auto) {
    const auto f = load_parts<V>(factors + invariant);
    store_tensor(out + feature, scaled(load_tensor<V>(x + feature), f.scalar, f.antisymmetric, f.symmetric));
  });
}

template <class T>
void embed_nodes_backward(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int begin,
                          int end) {
  using V = Vec<T>;
  const int atoms = end - begin, c = p.channels;
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(begin) * c;
  T* const g = a.gradient + components * start;
  gate_backward(p.embedding.gate, a.embedded + components * start, atoms, c, scratch,
                a.embedded_slopes + start, a.embedded_factors + 3 * start, g);
  for (int i = 0; i < atoms; ++i) {
    const T* const scale = p.embedding.scale + static_cast<std::ptrdiff_t>(a.species[begin + i]) * 3 * c;
    T* const gi = g + static_cast<std::ptrdiff_t>(i) * components * c;
    for_channels(scratch, 1, c, [&](auto feature, auto invariant, auto) {
      const auto f = load_parts<V>(scale + invariant);
      store_tensor(gi + feature,
                   scaled(load_tensor<V>(gi + feature), f.scalar, f.antisymmetric, f.symmetric));
    });
  }
  mix(g, p.embedding.mix.backward, scratch.sums, atoms);
}

/// Through the direction: the gradient with respect to the unit vector is G_x, G_y, G_z contracted with the
/// radial functions, where G holds the derivatives of the nine components of `direction_components`.
template <class T>
void embed_edges_backward(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int begin,
                          int end) {
  using V = Radial<T>;
  constexpr T root3 = T(1.73205080756887729353);
  const std::ptrdiff_t atom_size = static_cast<std::ptrdiff_t>(components) * p.sums_width;
  for (int i = begin; i < end; ++i) {
    const T* const sums = scratch.sums + (i - begin) * atom_size;
    for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
      const T x = a.directions[4 * e], y = a.directions[4 * e + 1], z = a.directions[4 * e + 2];
      T d[components];
      direction_components(x, y, z, d);
      const T t = a.fractions[e];
      const T* const c =
          p.embedding.radial + static_cast<std::ptrdiff_t>(a.intervals[e]) * 6 * p.radial_width;
      const int first = a.species[a.neighbours[e]] * p.radial_width;
      V radial{}, gx{}, gy{}, gz{};
      for (int f = 0; f < p.radial_width; f += radial_group) {
        const auto r = polynomial<V>(c + f, p.radial_width, t);
        const Tensor<V> g = load_tensor<V>(sums + sums_offset(first + f));
        V along = g.c[0];
#pragma GCC unroll 8
        for (int k = 1; k < components; ++k) along += g.c[k] * d[k];
        radial += along * r.slope;
        gx += r.value * (g.c[1] + root3 * (g.c[4] * y + g.c[6] * z + g.c[7] * x));
        gy += r.value * (g.c[2] + root3 * (g.c[4] * x + g.c[5] * z - g.c[7] * y));
        gz += r.value * (g.c[3] + root3 * (g.c[5] * y + g.c[6] * x) + g.c[8] * (T(3) * z));
      }
      const double ux = sum_lanes<T, radial_group>(gx), uy = sum_lanes<T, radial_group>(gy);
      const double uz = sum_lanes<T, radial_group>(gz);
      const double along = x * ux + y * uy + z * uz, inverse = a.directions[4 * e + 3];
      const double slope =
          (a.slopes[e] + sum_lanes<T, radial_group>(radial)) * a.stretches[e] - along * inverse;
      a.edge_gradients[3 * e] = p.energy_scale * (x * slope + ux * inverse);
      a.edge_gradients[3 * e + 1] = p.energy_scale * (y * slope + uy * inverse);
      a.edge_gradients[3 * e + 2] = p.energy_scale * (z * slope + uz * inverse);
    }
  }
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
