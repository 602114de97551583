#include "core/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/json.h"

namespace frames {

namespace {

constexpr std::size_t length_size = 8;
constexpr std::size_t most_dimensions = 16;

std::size_t element_size(const std::string& dtype) {
  static const std::map<std::string, std::size_t> sizes = {
      {"F64", 8},  {"I64", 8}, {"U64", 8}, {"F32", 4}, {"I32", 4}, {"U32", 4}, {"F16", 2},
      {"BF16", 2}, {"I16", 2}, {"U16", 2}, {"I8", 1},  {"U8", 1},  {"BOOL", 1}};
  const auto found = sizes.find(dtype);
  return found == sizes.end() ? 0 : found->second;
}

std::string text_of(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t k = 0; k < shape.size(); ++k) {
    text += (k ? ", " : "") + (shape[k] < 0 ? std::string("any") : std::to_string(shape[k]));
  }
  return text + "]";
}

template <typename From, typename To>
std::vector<To> converted(const Safetensors::Tensor& tensor) {
  std::vector<To> values(tensor.bytes / sizeof(From));
  for (std::size_t k = 0; k < values.size(); ++k) {
    From value;
    std::memcpy(&value, tensor.data + k * sizeof(From), sizeof(From));  // data need not be aligned
    values[k] = static_cast<To>(value);
  }
  return values;
}

}  // namespace

std::size_t Safetensors::Tensor::size() const {
  std::size_t count = 1;
  for (const std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
  return count;
}

Safetensors::Safetensors(std::vector<std::uint8_t> buffer, std::string name)
    : buffer_(std::move(buffer)), name_(std::move(name)) {
  if (buffer_.size() < length_size) fail("it is too short");
  std::uint64_t header_size = 0;
  for (std::size_t k = length_size; k-- > 0;) header_size = header_size << 8 | buffer_[k];
  if (header_size > buffer_.size() - length_size) fail("its header is longer than the data");

  Json header;
  try {
    header = Json::parse(
        {reinterpret_cast<const char*>(buffer_.data()) + length_size, static_cast<std::size_t>(header_size)});
    const std::uint8_t* data = buffer_.data() + length_size + header_size;
    const std::size_t size = buffer_.size() - length_size - static_cast<std::size_t>(header_size);
    for (const auto& [key, description] : header.object()) {
      if (key != "__metadata__") add(key, description, data, size);
    }
  } catch (const Error& error) {
    fail(error.what());
  }

  std::vector<std::pair<const std::uint8_t*, const std::uint8_t*>> ranges;
  for (const auto& [key, tensor] : tensors_) {
    if (tensor.bytes > 0) ranges.emplace_back(tensor.data, tensor.data + tensor.bytes);
  }
  std::sort(ranges.begin(), ranges.end());
  for (std::size_t k = 1; k < ranges.size(); ++k) {
    if (ranges[k].first < ranges[k - 1].second) fail("tensors overlap");
  }
}

void Safetensors::fail(const std::string& what) const {
  throw Error(name_ + " cannot be read (" + what + "); export or copy the model file again");
}

void Safetensors::add(const std::string& name, const Json& description, const std::uint8_t* data,
                      std::size_t size) {
  Tensor tensor;
  tensor.dtype = description.at("dtype").string();
  const std::size_t element = element_size(tensor.dtype);
  if (element == 0) throw Error(name + ": unknown dtype " + tensor.dtype.substr(0, 16));

  const auto& offsets = description.at("data_offsets").array();
  if (offsets.size() != 2) throw Error(name + ": expected two data_offsets");
  const std::int64_t begin = offsets[0].integer(), end = offsets[1].integer();
  if (begin < 0 || end < begin || static_cast<std::uint64_t>(end) > size) {
    throw Error(name + ": data_offsets lie outside of the data");
  }
  tensor.data = data + begin;
  tensor.bytes = static_cast<std::size_t>(end - begin);

  const auto& extents = description.at("shape").array();
  if (extents.size() > most_dimensions) throw Error(name + ": more than 16 dimensions");
  std::size_t bytes = element;
  for (const Json& value : extents) {
    const std::int64_t extent = value.integer();
    if (extent < 0) throw Error(name + ": negative dimension");
    const auto factor = static_cast<std::size_t>(extent);
    if (factor != 0 && bytes > std::numeric_limits<std::size_t>::max() / factor) {
      throw Error(name + ": shape is too large");
    }
    bytes *= factor;
    tensor.shape.push_back(extent);
  }
  if (bytes != tensor.bytes) throw Error(name + ": shape does not match the size of the data");
  tensors_.emplace(name, std::move(tensor));
}

const Safetensors::Tensor& Safetensors::at(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(std::string(name) + " is missing");
  return found->second;
}

const Safetensors::Tensor& Safetensors::checked(std::string_view name,
                                                const std::vector<std::int64_t>& shape) const {
  const Tensor& tensor = at(name);
  bool matches = tensor.shape.size() == shape.size();
  for (std::size_t k = 0; matches && k < shape.size(); ++k)
    matches = shape[k] < 0 || shape[k] == tensor.shape[k];
  if (!matches) {
    fail(std::string(name) + " has shape " + text_of(tensor.shape) + ", expected " + text_of(shape));
  }
  return tensor;
}

std::vector<double> Safetensors::doubles(std::string_view name,
                                         const std::vector<std::int64_t>& shape) const {
  const Tensor& tensor = checked(name, shape);
  if (tensor.dtype == "F64") return converted<double, double>(tensor);
  if (tensor.dtype == "F32") return converted<float, double>(tensor);
  fail(std::string(name) + " has dtype " + tensor.dtype + ", expected F64 or F32");
}

std::vector<float> Safetensors::floats(std::string_view name, const std::vector<std::int64_t>& shape) const {
  const Tensor& tensor = checked(name, shape);
  if (tensor.dtype == "F32") return converted<float, float>(tensor);
  if (tensor.dtype == "F64") return converted<double, float>(tensor);
  fail(std::string(name) + " has dtype " + tensor.dtype + ", expected F32 or F64");
}

std::vector<std::int64_t> Safetensors::integers(std::string_view name,
                                                const std::vector<std::int64_t>& shape) const {
  const Tensor& tensor = checked(name, shape);
  if (tensor.dtype == "I64") return converted<std::int64_t, std::int64_t>(tensor);
  if (tensor.dtype == "I32") return converted<std::int32_t, std::int64_t>(tensor);
  if (tensor.dtype == "U8" || tensor.dtype == "BOOL") return converted<std::uint8_t, std::int64_t>(tensor);
  fail(std::string(name) + " has dtype " + tensor.dtype + ", expected I64, I32, U8 or BOOL");
}

}  // namespace frames
