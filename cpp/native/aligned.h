#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

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
    if (!data_) data_ = allocate(wanted * sizeof(T));
    capacity_ = wanted;
  }

 private:
  struct Free {
    std::align_val_t alignment;
    void operator()(T* p) const { ::operator delete(p, alignment); }
  };

  static std::shared_ptr<T> allocate(std::size_t bytes) {
    constexpr std::size_t huge_page = std::size_t{1} << 21;
    const bool large = bytes >= 4 * huge_page;
    const std::align_val_t alignment{large ? huge_page : 64};
    void* const memory = ::operator new(bytes, alignment);
    std::shared_ptr<T> owner(static_cast<T*>(memory), Free{alignment});
#ifdef __linux__
    // Rows of neighbours lie all over it: with small pages the processor spends time on finding them. A
    // system that has no huge pages to give does as before.
    if (large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    std::memset(memory, 0, bytes);
    return owner;
  }

  std::shared_ptr<T> data_;
  std::size_t capacity_ = 0;
};

}  // namespace frames::native
