#pragma once

#include <cstddef>

namespace frames::native {

// How arrays lie in memory. Channels come last, in blocks of 16, whatever the instruction set:
//
//   features   [atoms][channels / 16][9][16]   a tensor per atom and channel; components as in nn/tensors.py
//   invariants [atoms][channels / 16][3][16]   scalar part, squared norms of the other two parts
//   rows       [atoms][channels]               hidden layers of the small networks
//   matrices   [outputs / 16][inputs][16]      so that a product walks through memory in order

constexpr int block = 16;
constexpr int components = 9;

constexpr int round_up(int n, int multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// A matrix packed for products, with an optional bias per output.
template <class T>
struct Matrix {
  const T* data = nullptr;  ///< [outputs / 16][inputs][16]
  const T* bias = nullptr;  ///< [outputs] or null
  int inputs = 0;           ///< multiple of 16
  int outputs = 0;          ///< multiple of 16
};

/// One matrix for each part of a tensor: scalar, antisymmetric, symmetric traceless.
template <class T>
struct PartMatrices {
  Matrix<T> part[3];
};

}  // namespace frames::native
