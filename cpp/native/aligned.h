#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

namespace frames::native {

/// Numbers that start on a cache line. Grows, never shrinks; growing does not keep the contents.
template <class T>
class Aligned {
 public:
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t capacity() const { return capacity_; }

  /// Room for `size` elements. New memory is zero; throws std::bad_alloc.
  void reserve(std::size_t size) {
    if (size <= capacity_) return;
    const std::size_t wanted = size + size / 8;
    if (wanted > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
    data_.reset();  // give the old block back first: the two together could be too much
    capacity_ = 0;
    data_.reset(static_cast<T*>(::operator new(wanted * sizeof(T), std::align_val_t{64})));
    std::memset(static_cast<void*>(data_.get()), 0, wanted * sizeof(T));
    capacity_ = wanted;
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::unique_ptr<T[], Free> data_;
  std::size_t capacity_ = 0;
};

}  // namespace frames::native
