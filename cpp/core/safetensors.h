#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace frames {

/// Named arrays in the safetensors format (8-byte header length, JSON header, data; all little-endian).
///
/// Parsing checks every range against the buffer, every shape against its range, and that ranges do not
/// overlap.
class Safetensors {
 public:
  struct Tensor {
    std::string dtype;  ///< as the header names it: "F64", "F32", "I64", "I32", "U8", "BOOL", ...
    std::vector<std::int64_t> shape;     ///< row-major
    const std::uint8_t* data = nullptr;  ///< belongs to the Safetensors object
    std::size_t bytes = 0;

    std::size_t size() const;  ///< number of elements
  };

  /// @param name stands for the file in messages. Throws Error.
  Safetensors(std::vector<std::uint8_t> buffer, std::string name);
  Safetensors(Safetensors&&) = default;
  Safetensors& operator=(Safetensors&&) = default;
  Safetensors(const Safetensors&) = delete;
  Safetensors& operator=(const Safetensors&) = delete;

  const std::map<std::string, Tensor, std::less<>>& tensors() const { return tensors_; }
  bool contains(std::string_view name) const { return tensors_.find(name) != tensors_.end(); }

  /// Throws Error if there is no such tensor.
  const Tensor& at(std::string_view name) const;

  /// Elements of a tensor of the given shape, converted. A dimension of -1 in `shape` matches any.
  /// Throws Error if the tensor is missing, has another shape, or a dtype that does not convert exactly or by
  /// rounding (doubles and floats: F32, F64; integers: I64, I32, U8, BOOL).
  std::vector<double> doubles(std::string_view name, const std::vector<std::int64_t>& shape) const;
  std::vector<float> floats(std::string_view name, const std::vector<std::int64_t>& shape) const;
  std::vector<std::int64_t> integers(std::string_view name, const std::vector<std::int64_t>& shape) const;

 private:
  void add(const std::string& name, const class Json& description, const std::uint8_t* data,
           std::size_t size);
  const Tensor& checked(std::string_view name, const std::vector<std::int64_t>& shape) const;
  [[noreturn]] void fail(const std::string& what) const;

  std::vector<std::uint8_t> buffer_;
  std::string name_;
  std::map<std::string, Tensor, std::less<>> tensors_;
};

}  // namespace frames
