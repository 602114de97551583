#pragma once

#include <cstdint>
#include <vector>

#include "native/layout.h"

namespace frames::native {

// The parameters of a model as the kernels read them: plain pointers into one block of memory that a `Model`
// owns.

/// A linear map and its transpose, which the gradient needs.
template <class Map>
struct Both {
  Map forward, backward;
};

/// Network from the invariants of a tensor to factors for its three parts.
template <class T>
struct GateParameters {
  Both<Matrix<T>> first;   ///< invariants to rows, with bias
  Both<Matrix<T>> second;  ///< rows to factors in the layout of invariants, with bias
};

template <class T>
struct EmbeddingParameters {
  const T* radial = nullptr;  ///< [intervals][6][radial_width], coefficients as in RadialTable
  Both<PartMatrices<T>>
      mix;  ///< sums over neighbours, in place of channels [species][radial_width], to channels
  const T* scale = nullptr;  ///< [species][channels / 16][3][16] by the centre's species
  const T* bias = nullptr;   ///< [species][channels] to the scalar part
  GateParameters<T> gate;
};

template <class T>
struct InteractionParameters {
  const T* radial = nullptr;  ///< [channels / 16][intervals][3][6][16]
  Both<PartMatrices<T>> before, after;
  GateParameters<T> gate;
};

template <class T>
struct ReadoutParameters {
  Both<Matrix<T>> hidden;     ///< invariants to rows, with bias
  const T* energy = nullptr;  ///< [channels]
  double energy_bias = 0.0;
};

template <class T>
struct Parameters {
  int species = 0;
  int channels = 0;
  int layers = 0;
  int radial_width = 0;      ///< radial functions of the embedding, rounded up to a multiple of 8
  int sums_width = 0;        ///< species * radial_width, rounded up to a multiple of 16
  int intervals = 0;         ///< of the radial tables; see RadialGrid
  double radial_half = 0.0;  ///< Å
  double radial_scale = 0.0;
  EmbeddingParameters<T> embedding;
  const InteractionParameters<T>* interactions = nullptr;  ///< [layers]
  ReadoutParameters<T> readout;
  double energy_scale = 1.0;                 ///< eV
  const double* energy_reference = nullptr;  ///< [species] eV
};

}  // namespace frames::native
