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

  /// Gives the memory back.
  void clear() {
    data_.reset();
    capacity_ = 0;
  }

  /// Room for `size` elements. New memory is zero; throws std::bad_alloc.
  void reserve(std::size_t size) {
    reserve(size, [](std::size_t) { return std::shared_ptr<void>(); });
  }

  /// The same in memory from `source(bytes)`, a shared pointer to zeroed memory, unless it is null.
  template <class Source>
  void reserve(std::size_t size, const Source& source) {
    if (size <= capacity_) return;
    const std::size_t wanted = size + size / 8;
    if (wanted > std::numeric_limits<std::size_t>::max() / sizeof(T)) throw std::bad_alloc();
    clear();  // the two together could be too much
    data_ = std::static_pointer_cast<T>(source(wanted * sizeof(T)));
    if (!data_) {
      void* const memory = ::operator new(wanted * sizeof(T), std::align_val_t{64});
      data_ = std::shared_ptr<T>(static_cast<T*>(memory), Free{});
      std::memset(memory, 0, wanted * sizeof(T));
    }
    capacity_ = wanted;
  }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  std::shared_ptr<T> data_;
  std::size_t capacity_ = 0;
};

}  // namespace frames::native
