// Mixing of channels: matrix products small enough that all operands stay in cache.
#pragma once

#include <cstddef>

#include "native/kernels/simd.h"
#include "native/layout.h"

namespace frames::native::FRAMES_NATIVE_ISA {

/// Where the rows of a product lie. Element k of component p of atom a is
/// data[a * atom + (k / 16) * step + p * 16 + k % 16].
template <class T>
struct Rows {
  T* data;
  std::ptrdiff_t atom;
  std::ptrdiff_t step;
};

/// The numbers 0 to N - 1 as a type.
template <int... N>
struct Numbers {};
template <int N, int... Rest>
struct FirstNumbersOf : FirstNumbersOf<N - 1, N - 1, Rest...> {};
template <int... Rest>
struct FirstNumbersOf<0, Rest...> {
  using type = Numbers<Rest...>;
};
template <int N>
using FirstNumbers = typename FirstNumbersOf<N>::type;

/// A tile of the product: P components of A atoms times NV vectors of columns, held in registers.
/// `w` and `out` point to the first vector of columns; the next ones follow after `w_next` and `out_next`
/// elements.
template <class T, int P, int A, int NV>
void multiply_tile(Rows<const T> in, const T* w, std::ptrdiff_t w_next, int inputs, const T* bias, T* out,
                   std::ptrdiff_t out_atom, std::ptrdiff_t out_next) {
  using V = Vec<T>;
  V sum[P * A][NV];
#pragma GCC unroll 16
  for (int r = 0; r < P * A; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) sum[r][v] = bias ? load<V>(bias + v * lanes<T>) : V{};
  }
  for (int k = 0; k < inputs; k += block, w += block * block, in.data += in.step) {
    for (int l = 0; l < block; ++l) {
      V b[NV];
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) b[v] = load<V>(w + l * block + v * w_next);
#pragma GCC unroll 16
      for (int r = 0; r < P * A; ++r) {
        const T factor = in.data[(r / P) * in.atom + (r % P) * block + l];
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) sum[r][v] += factor * b[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < P * A; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(out + (r / P) * out_atom + (r % P) * block + v * out_next, sum[r][v]);
  }
}

/// All atoms for NV vectors of columns, in tiles of at most A atoms that differ by one at most: a tile of a
/// few atoms takes nearly as long as a full one.
template <class T, int P, int A, int NV>
struct ColumnTiles {
  using Tile = void (*)(Rows<const T>, const T*, std::ptrdiff_t, int, const T*, T*, std::ptrdiff_t,
                        std::ptrdiff_t);

  template <int... Sizes>
  struct Table {
    static constexpr Tile tiles[] = {multiply_tile<T, P, Sizes, NV>...};
  };
  template <int... Sizes>
  static Table<(Sizes + 1)...> make(Numbers<Sizes...>);
  using All = decltype(make(FirstNumbers<A>{}));

  static void multiply(Rows<const T> in, const T* w, std::ptrdiff_t w_next, int inputs, const T* bias, T* out,
                       std::ptrdiff_t out_atom, std::ptrdiff_t out_next, int atoms) {
    for (int tiles = (atoms + A - 1) / A; tiles > 0; --tiles) {
      const int size = (atoms + tiles - 1) / tiles;
      All::tiles[size - 1](in, w, w_next, inputs, bias, out, out_atom, out_next);
      in.data += size * in.atom;
      out += size * out_atom;
      atoms -= size;
    }
  }
};

/// Rows of P components for each of `atoms` atoms, times a matrix; out does not overlap in.
template <class T, int P>
inline void multiply(Rows<const T> in, const Matrix<T>& matrix, Rows<T> out, int atoms) {
  constexpr bool many = FRAMES_NATIVE_REGISTERS >= 32;
  constexpr int tile = P == 1 ? (many ? 8 : 6) : P == 3 ? (many ? 4 : 2) : (many ? 2 : 1);
  constexpr int width = lanes<T>;
  // Two vectors of columns lie in one block of channels, or are two blocks.
  const std::ptrdiff_t w_next = width == block ? static_cast<std::ptrdiff_t>(matrix.inputs) * block : width;
  const std::ptrdiff_t out_next = width == block ? out.step : width;
  int column = 0;
  for (; column + 2 * width <= matrix.outputs; column += 2 * width) {
    const int lane = column % block;
    const T* const w = matrix.data + static_cast<std::ptrdiff_t>(column - lane) * matrix.inputs + lane;
    T* const to = out.data + column / block * out.step + lane;
    ColumnTiles<T, P, tile, 2>::multiply(in, w, w_next, matrix.inputs,
                                         matrix.bias ? matrix.bias + column : nullptr, to, out.atom, out_next,
                                         atoms);
  }
  if (column < matrix.outputs) {
    const T* const w = matrix.data + static_cast<std::ptrdiff_t>(column) * matrix.inputs;
    ColumnTiles<T, P, tile, 1>::multiply(in, w, w_next, matrix.inputs,
                                         matrix.bias ? matrix.bias + column : nullptr,
                                         out.data + column / block * out.step, out.atom, out_next, atoms);
  }
}

/// Features [atoms][inputs / 16][9][16] to features [atoms][outputs / 16][9][16], each part by its own
/// matrix.
template <class T>
inline void mix(const T* in, const PartMatrices<T>& matrices, T* out, int atoms) {
  const Matrix<T>& first = matrices.part[0];
  constexpr std::ptrdiff_t step = components * block;
  const std::ptrdiff_t in_atom = components * static_cast<std::ptrdiff_t>(first.inputs);
  const std::ptrdiff_t out_atom = components * static_cast<std::ptrdiff_t>(first.outputs);
  multiply<T, 1>({in, in_atom, step}, matrices.part[0], {out, out_atom, step}, atoms);
  multiply<T, 3>({in + block, in_atom, step}, matrices.part[1], {out + block, out_atom, step}, atoms);
  multiply<T, 5>({in + 4 * block, in_atom, step}, matrices.part[2], {out + 4 * block, out_atom, step}, atoms);
}

/// Rows [atoms][inputs] to rows [atoms][outputs].
template <class T>
inline void dense(const T* in, const Matrix<T>& matrix, T* out, int atoms) {
  multiply<T, 1>({in, matrix.inputs, block}, matrix, {out, matrix.outputs, block}, atoms);
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
