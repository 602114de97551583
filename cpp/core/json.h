#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace frames {

/// A value of a JSON text (RFC 8259). Objects keep the order of their members; a repeated name is an error.
///
/// Accessors throw Error that names the value's place, for example "backbone_settings.layers: expected a
/// number".
class Json {
 public:
  enum class Kind { null, boolean, number, string, array, object };

  /// Parses a whole text. Throws Error with the byte offset of the first fault.
  /// Limits: 4 MiB of text, 64 nested arrays or objects.
  static Json parse(std::string_view text);

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }

  bool boolean() const;
  double number() const;
  std::int64_t integer() const;  ///< a number without a fractional part, at most 2^53 in magnitude
  const std::string& string() const;
  const std::vector<Json>& array() const;
  const std::vector<std::pair<std::string, Json>>& object() const;

  /// Member of an object; throws Error if it is missing.
  const Json& at(std::string_view name) const;
  /// Member of an object or null if it is missing.
  const Json* find(std::string_view name) const;

 private:
  friend class JsonParser;

  [[noreturn]] void expected(const char* what) const;

  Kind kind_ = Kind::null;
  bool boolean_ = false;
  double number_ = 0.0;
  std::string string_;
  std::shared_ptr<const std::string> place_;  // names from the root, for messages; null at the root
  std::vector<Json> array_;
  std::vector<std::pair<std::string, Json>> object_;
};

}  // namespace frames
