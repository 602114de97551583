// Fetching into the second level of the cache what will be needed soon. What is read is too scattered for the
// processor to foresee: pieces of 576 bytes, one of each row, in the order of the edges.
#pragma once

#include "native/kernels.h"
#include "native/kernels/tensors.h"

namespace frames::native::FRAMES_NATIVE_ISA {

/// Messages of an atom take as long as memory needs to answer; further ahead gains nothing.
constexpr int atoms_ahead = 2;

/// One block of channels of a row.
template <class T>
FRAMES_INLINE void fetch_tensors(const T* x) {
  constexpr int lines = components * block * static_cast<int>(sizeof(T)) / 64;
  const char* const from = reinterpret_cast<const char*>(x);
#pragma GCC unroll 18
  for (int i = 0; i < lines; ++i) __builtin_prefetch(from + 64 * i, 0, 2);
}

/// What atom i is the first of its message block to need of `rows`, which point to a block of channels.
template <class T>
FRAMES_INLINE void fetch_fresh(const Arrays<T>& a, const T* rows, std::ptrdiff_t row_size, int i) {
  const std::int32_t* const fresh = a.fresh + a.offsets[i];
  for (int k = 0; k < a.fresh_counts[i]; ++k) fetch_tensors(rows + fresh[k] * row_size);
}

/// One more block of channels of the next atoms' rows.
template <class T>
FRAMES_INLINE void fetch_upcoming(Upcoming<T>& upcoming) {
  if (upcoming.pieces == 0) return;
  typename Upcoming<T>::Piece& piece = upcoming.piece[upcoming.pieces - 1];
  fetch_tensors(piece.rows);
  piece.rows += components * block;
  if (--piece.blocks == 0) --upcoming.pieces;
}

}  // namespace frames::native::FRAMES_NATIVE_ISA
