// One exchange with the neighbours, and the readout after the last one.
#pragma once

#include "native/kernels/embedding.h"

namespace frames::native::FRAMES_NATIVE_ISA {

/// Y: X / (1 + |X|^2), channels mixed.
template <class T>
void mix_features(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int layer, int begin,
                  int end) {
  using V = Vec<T>;
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(begin) * components * p.channels;
  const T* const x = a.features + start;
  for_channels(scratch, end - begin, p.channels, [&](auto feature, auto, auto) {
    store_tensor(scratch.tensors[0] + feature, saturate<T>(load_tensor<V>(x + feature)).value);
  });
  mix(scratch.tensors[0], p.interactions[layer].before.forward, a.layers[layer].mixed + start, end - begin);
}

/// The radial scalings of one edge for one vector of channels: coefficients [3][6][16].
template <class V, class T>
FRAMES_INLINE Parts<V> radial_values(const T* c, T t) {
  return {polynomial_value<V>(c, block, t), polynomial_value<V>(c + 6 * block, block, t),
          polynomial_value<V>(c + 12 * block, block, t)};
}

/// M_i = sum over neighbours j of R(r_ij) Y_j. One block of channels at a time, so that the part of the
/// radial table that it needs stays in cache.
template <class T>
void messages(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>&, int layer, int begin, int end) {
  using V = Vec<T>;
  constexpr int table_row = 18 * block;
  const std::ptrdiff_t atom_size = static_cast<std::ptrdiff_t>(components) * p.channels;
  for (int b = 0; b < p.channels / block; ++b) {
    const T* const table =
        p.interactions[layer].radial + static_cast<std::ptrdiff_t>(b) * p.intervals * table_row;
    const T* const y = a.layers[layer].mixed + b * (components * block);
    T* const out = a.layers[layer].messages + b * (components * block);
    for (int lane = 0; lane < block; lane += lanes<T>) {
      for (int i = begin; i < end; ++i) {
        if (a.fresh && lane == 0 && i + atoms_ahead < end) {
          fetch_fresh(a, y, atom_size, i + atoms_ahead);
          fetch_tensors(out + (i + atoms_ahead) * atom_size);
        }
        Tensor<V> m{};
        for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
          const T* const c = table + static_cast<std::ptrdiff_t>(a.intervals[e]) * table_row + lane;
          const T* const yj = y + a.neighbours[e] * atom_size + lane;
          const Parts<V> r = radial_values<V>(c, a.fractions[e]);
          m.c[0] += r.scalar * load<V>(yj);
#pragma GCC unroll 3
          for (int k = 1; k < 4; ++k) m.c[k] += r.antisymmetric * load<V>(yj + k * block);
#pragma GCC unroll 5
          for (int k = 4; k < 9; ++k) m.c[k] += r.symmetric * load<V>(yj + k * block);
        }
        store_tensor(out + i * atom_size + lane, m);
      }
    }
  }
}

/// The way back. Every edge is present in both directions with the same scalings R, so atom i takes what its
/// message to j owes to it from j's gradient: dE/dY_i += R dE/dM_j, and the derivative with respect to that
/// distance is R' (dE/dM_j . Y_i). Nothing is scattered, so threads need no locks, and the results do not
/// depend on their number.
template <class T>
void messages_backward(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>&, int layer, int begin,
                       int end) {
  using V = Vec<T>;
  constexpr int table_row = 18 * block;
  const std::ptrdiff_t atom_size = static_cast<std::ptrdiff_t>(components) * p.channels;
  for (int b = 0; b < p.channels / block; ++b) {
    const T* const table =
        p.interactions[layer].radial + static_cast<std::ptrdiff_t>(b) * p.intervals * table_row;
    const T* const y = a.layers[layer].mixed + b * (components * block);
    const T* const dm = a.layers[layer].messages + b * (components * block);
    T* const out = a.layers[layer].update + b * (components * block);
    for (int lane = 0; lane < block; lane += lanes<T>) {
      for (int i = begin; i < end; ++i) {
        if (a.fresh && lane == 0 && i + atoms_ahead < end) {
          fetch_fresh(a, dm, atom_size, i + atoms_ahead);
          fetch_tensors(y + (i + atoms_ahead) * atom_size);
          fetch_tensors(out + (i + atoms_ahead) * atom_size);
        }
        const Tensor<V> yi = load_tensor<V>(y + i * atom_size + lane);
        Tensor<V> sum = load_tensor<V>(out + i * atom_size + lane);
        for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
          const T* const c = table + static_cast<std::ptrdiff_t>(a.intervals[e]) * table_row + lane;
          const Tensor<V> g = load_tensor<V>(dm + a.neighbours[e] * atom_size + lane);
          const T t = a.fractions[e];
          const auto r0 = polynomial<V>(c, block, t);
          const auto r1 = polynomial<V>(c + 6 * block, block, t);
          const auto r2 = polynomial<V>(c + 12 * block, block, t);
          const Parts<V> dot = part_products(g, yi);
          sum = sum + scaled(g, r0.value, r1.value, r2.value);
          const V slope = dot.scalar * r0.slope + dot.antisymmetric * r1.slope + dot.symmetric * r2.slope;
          a.slopes[e] += sum_lanes<T, lanes<T>>(slope);
        }
        store_tensor(out + i * atom_size + lane, sum);
      }
    }
  }
}

/// As the first part of `messages_backward`, weighted with the components of the edge vector r_j - r_i:
/// dE/dY_i of the moment along x += R (x_j - x_i) dE/dM_j, and so for y and z.
template <class T>
void moments_backward(const Parameters<T>& p, const Arrays<T>& a, const Arrays<T>* moments, int layer,
                      int begin, int end) {
  using V = Vec<T>;
  constexpr int table_row = 18 * block;
  const std::ptrdiff_t atom_size = static_cast<std::ptrdiff_t>(components) * p.channels;
  for (int b = 0; b < p.channels / block; ++b) {
    const T* const table =
        p.interactions[layer].radial + static_cast<std::ptrdiff_t>(b) * p.intervals * table_row;
    for (int lane = 0; lane < block; lane += lanes<T>) {
      const std::ptrdiff_t column = b * (components * block) + lane;
      const T* const dm = a.layers[layer].messages + column;
      for (int i = begin; i < end; ++i) {
        Tensor<V> sum[3] = {};
        for (std::int64_t e = a.offsets[i]; e < a.offsets[i + 1]; ++e) {
          const T* const c = table + static_cast<std::ptrdiff_t>(a.intervals[e]) * table_row + lane;
          const Parts<V> r = radial_values<V>(c, a.fractions[e]);
          const Tensor<V> g = scaled(load_tensor<V>(dm + a.neighbours[e] * atom_size), r.scalar,
                                     r.antisymmetric, r.symmetric);
          for (int k = 0; k < 3; ++k) {
            const V weight = V{} + static_cast<T>(a.vectors[3 * e + k]);
            sum[k] = sum[k] + scaled(g, weight, weight, weight);
          }
        }
        for (int k = 0; k < 3; ++k) {
          T* const out = moments[k].layers[layer].update + i * atom_size + column;
          store_tensor(out, load_tensor<V>(out) + sum[k]);
        }
      }
    }
  }
}

/// P = Y(Y + M) + (Y + M)Y + M
template <class T, class V>
FRAMES_INLINE Tensor<V> many_body(const Tensor<V>& y, const Tensor<V>& m) {
  return anticommutator<T>(y, y + m) + m;
}

/// D + D^2
template <class T, class V>
FRAMES_INLINE Tensor<V> added(const Tensor<V>& d) {
  const V half = V{} + T(0.5);
  return d + scaled(anticommutator<T>(d, d), half, half, half);
}

/// D: P / (1 + |P|^2), its parts scaled by the gate, channels mixed. Next X: X + D + D^2.
template <class T>
void update(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int layer, int begin,
            int end) {
  using V = Vec<T>;
  const int atoms = end - begin, c = p.channels;
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(begin) * c, first = components * start;
  const LayerArrays<T>& at = a.layers[layer];
  const InteractionParameters<T>& parameters = p.interactions[layer];
  T* const q = scratch.tensors[0];
  T* const factors = at.factors + 3 * start;
  for_channels(scratch, atoms, c, [&](auto feature, auto, auto) {
    const auto y = load_tensor<V>(at.mixed + first + feature),
               m = load_tensor<V>(at.messages + first + feature);
    store_tensor(q + feature, saturate<T>(many_body<T>(y, m)).value);
  });
  gate(parameters.gate, q, atoms, c, scratch, at.slopes + start, factors);
  for_channels(scratch, atoms, c, [&](auto feature, auto invariant, auto) {
    const auto f = load_parts<V>(factors + invariant);
    store_tensor(q + feature, scaled(load_tensor<V>(q + feature), f.scalar, f.antisymmetric, f.symmetric));
  });
  mix(q, parameters.after.forward, at.update + first, atoms);
  for_channels(scratch, atoms, c, [&](auto feature, auto, auto) {
    const auto d = load_tensor<V>(at.update + first + feature);
    T* const x = a.features + first + feature;
    store_tensor(x, load_tensor<V>(x) + added<T>(d));
  });
}

template <class T>
void update_backward(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int layer,
                     int begin, int end) {
  using V = Vec<T>;
  const int atoms = end - begin, c = p.channels;
  const std::ptrdiff_t start = static_cast<std::ptrdiff_t>(begin) * c, first = components * start;
  const LayerArrays<T>& at = a.layers[layer];
  const InteractionParameters<T>& parameters = p.interactions[layer];
  T* const g = scratch.tensors[1];
  T* const q = scratch.tensors[0];
  for_channels(scratch, atoms, c, [&](auto feature, auto, auto row) {
    const auto d = load_tensor<V>(at.update + first + feature),
               dx = load_tensor<V>(a.gradient + first + feature);
    store_tensor(g + feature, dx + anticommutator<T>(dx, transposed(d)));
    T* const x = a.features + first + feature;
    store_tensor(x, load_tensor<V>(x) - added<T>(d));
    const auto y = load_tensor<V>(at.mixed + first + feature),
               m = load_tensor<V>(at.messages + first + feature);
    const auto s = saturate<T>(many_body<T>(y, m));
    store_tensor(q + feature, s.value);
    store(scratch.saturation + row, s.factor);
  });
  T* const dq = scratch.tensors[2];
  mix(g, parameters.after.backward, dq, atoms);
  gate_backward(parameters.gate, q, atoms, c, scratch, at.slopes + start, at.factors + 3 * start, dq);
  for_channels(scratch, atoms, c, [&](auto feature, auto, auto row) {
    const Saturated<V> s{load_tensor<V>(q + feature), load<V>(scratch.saturation + row)};
    const Tensor<V> dp = saturate_backward<T>(s, load_tensor<V>(dq + feature));
    const auto y = load_tensor<V>(at.mixed + first + feature),
               m = load_tensor<V>(at.messages + first + feature);
    store_tensor(at.messages + first + feature, anticommutator<T>(dp, transposed(y)) + dp);
    store_tensor(at.update + first + feature, anticommutator<T>(dp, transposed(y + y + m)));
  });
}

/// On entry `gradient` holds dE/dX of the next layer, which passes through X + D + D^2 unchanged; on return
/// that of X.
template <class T>
void mix_backward(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int layer, int begin,
                  int end) {
  using V = Vec<T>;
  const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(begin) * components * p.channels;
  T* const g = scratch.tensors[0];
  mix(a.layers[layer].update + first, p.interactions[layer].before.backward, g, end - begin);
  for_channels(scratch, end - begin, p.channels, [&](auto feature, auto, auto) {
    const auto s = saturate<T>(load_tensor<V>(a.features + first + feature));
    T* const gradient = a.gradient + first + feature;
    store_tensor(gradient, load_tensor<V>(gradient) + saturate_backward<T>(s, load_tensor<V>(g + feature)));
  });
}

/// Energies of the atoms, and the gradient of their sum over local atoms with respect to the last features.
template <class T>
void readout(const Parameters<T>& p, const Arrays<T>& a, const Scratch<T>& scratch, int begin, int end) {
  using V = Vec<T>;
  const int atoms = end - begin, c = p.channels;
  const std::ptrdiff_t first = static_cast<std::ptrdiff_t>(begin) * components * c;
  const T* const x = a.features + first;
  for_channels(scratch, atoms, c, [&](auto feature, auto invariant, auto) {
    store_parts(scratch.invariants[0] + invariant,
                invariants(saturate<T>(load_tensor<V>(x + feature)).value));
  });
  dense(scratch.invariants[0], p.readout.hidden.forward, scratch.rows, atoms);
  for (int i = 0; i < atoms; ++i) {
    V energy{};
    T* const row = scratch.rows + static_cast<std::ptrdiff_t>(i) * c;
    const T wanted = begin + i < a.locals ? T(1) : T(0);
    for (int k = 0; k < c; k += lanes<T>) {
      const V w = load<V>(p.readout.energy + k);
      const auto h = silu<T, lanes<T>>(load<V>(row + k));
      energy += w * h.value;
      store(row + k, w * h.slope * wanted);
    }
    a.energies[begin + i] = p.energy_reference[a.species[begin + i]] +
                            p.energy_scale * (p.readout.energy_bias + sum_lanes<T, lanes<T>>(energy));
  }
  dense(scratch.rows, p.readout.hidden.backward, scratch.invariants[0], atoms);
  for_channels(scratch, atoms, c, [&](auto feature, auto invariant, auto) {
    const auto s = saturate<T>(load_tensor<V>(x + feature));
    const auto g = invariants_backward<T>(s.value, load_parts<V>(scratch.invariants[0] + invariant));
    store_tensor(a.gradient + first + feature, saturate_backward<T>(s, g));
  });
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
