// The network from invariants to factors for the three parts of each channel.
#pragma once

#include "native/kernels.h"
#include "native/kernels/mixing.h"
#include "native/kernels/prefetch.h"

namespace frames::native::FRAMES_NATIVE_ISA {

/// Calls f(offset of features, offset of invariants, offset of rows) for each vector of channels of each
/// atom, and between the calls fetches what comes next.
template <class T, class F>
FRAMES_INLINE void for_channels(const Scratch<T>& scratch, int atoms, int channels, const F& f) {
  const int blocks = atoms * (channels / block);
  Upcoming<T>& upcoming = *scratch.upcoming;
  for (int b = 0; b < blocks; ++b) {
    fetch_upcoming(upcoming);
    for (int lane = 0; lane < block; lane += lanes<T>) {
      f(static_cast<std::ptrdiff_t>(b) * (components * block) + lane,
        static_cast<std::ptrdiff_t>(b) * (3 * block) + lane, static_cast<std::ptrdiff_t>(b) * block + lane);
    }
  }
}

template <class V, class T>
FRAMES_INLINE Parts<V> load_parts(const T* from) {
  return {load<V>(from), load<V>(from + block), load<V>(from + 2 * block)};
}

template <class V, class T>
FRAMES_INLINE void store_parts(T* to, const Parts<V>& p) {
  store(to, p.scalar);
  store(to + block, p.antisymmetric);
  store(to + 2 * block, p.symmetric);
}

template <class V>
FRAMES_INLINE Parts<V> invariants(const Tensor<V>& x) {
  Parts<V> p = part_products(x, x);
  p.scalar = x.c[0];
  return p;
}

/// Gradient with respect to x from the gradient g with respect to its invariants.
template <class T, class V>
FRAMES_INLINE Tensor<V> invariants_backward(const Tensor<V>& x, const Parts<V>& g) {
  Tensor<V> r = scaled(x, g.scalar, T(2) * g.antisymmetric, T(2) * g.symmetric);
  r.c[0] = g.scalar;
  return r;
}

/// Factors for x (features of `atoms` atoms) from its invariants. Keeps the slopes of the activation for the
/// way back.
template <class T>
inline void gate(const GateParameters<T>& gate, const T* x, int atoms, int channels,
                 const Scratch<T>& scratch, T* slopes, T* factors) {
  using V = Vec<T>;
  T* const inv = scratch.invariants[0];
  for_channels(scratch, atoms, channels, [&](auto feature, auto invariant, auto) {
    store_parts(inv + invariant, invariants(load_tensor<V>(x + feature)));
  });
  dense(inv, gate.first.forward, scratch.rows, atoms);
  for_channels(scratch, atoms, channels, [&](auto, auto, auto row) {
    const auto hidden = silu<T, lanes<T>>(load<V>(scratch.rows + row));
    store(scratch.rows + row, hidden.value);
    store(slopes + row, hidden.slope);
  });
  dense(scratch.rows, gate.second.forward, factors, atoms);
}

/// On entry `g` holds the gradient with respect to factors * x, on return that with respect to x.
template <class T>
inline void gate_backward(const GateParameters<T>& gate, const T* x, int atoms, int channels,
                          const Scratch<T>& scratch, const T* slopes, const T* factors, T* g) {
  using V = Vec<T>;
  for_channels(scratch, atoms, channels, [&](auto feature, auto invariant, auto) {
    const auto gradient = load_tensor<V>(g + feature);
    store_parts(scratch.invariants[0] + invariant, part_products(load_tensor<V>(x + feature), gradient));
    const auto f = load_parts<V>(factors + invariant);
    store_tensor(g + feature, scaled(gradient, f.scalar, f.antisymmetric, f.symmetric));
  });
  dense(scratch.invariants[0], gate.second.backward, scratch.rows, atoms);
  for_channels(scratch, atoms, channels, [&](auto, auto, auto row) {
    store(scratch.rows + row, load<V>(scratch.rows + row) * load<V>(slopes + row));
  });
  dense(scratch.rows, gate.first.backward, scratch.invariants[1], atoms);
  for_channels(scratch, atoms, channels, [&](auto feature, auto invariant, auto) {
    const auto slope = load_parts<V>(scratch.invariants[1] + invariant);
    store_tensor(g + feature,
                 load_tensor<V>(g + feature) + invariants_backward<T>(load_tensor<V>(x + feature), slope));
  });
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
