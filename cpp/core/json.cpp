#include "core/json.h"

#include <cmath>
#include <locale>
#include <set>
#include <sstream>

#include "core/error.h"

namespace frames {

namespace {

constexpr std::size_t largest_text = 4u << 20;
constexpr int deepest_nesting = 64;
constexpr std::size_t longest_place = 128;  // a hostile name must not be copied into every member below it
constexpr double largest_integer = 9007199254740992.0;  // 2^53

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (code >> 6)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | (code >> 12)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | (code >> 18)));
    out.push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

using Place = std::shared_ptr<const std::string>;

Place join(const Place& parent, const std::string& name) {
  if (!parent) return std::make_shared<const std::string>(name.substr(0, longest_place));
  if (parent->size() + name.size() > longest_place) return parent;
  return std::make_shared<const std::string>(*parent + "." + name);
}

}  // namespace

/// Recursive descent over one text.
class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Json document() {
    Json value = parse_value(nullptr, 0);
    skip_space();
    if (position_ != text_.size()) fail("text after the end of the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error("not valid JSON at byte " + std::to_string(position_) + ": " + what);
  }

  void skip_space() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
      ++position_;
    }
  }

  char peek() const {
    if (position_ >= text_.size()) fail("the text ends too early");
    return text_[position_];
  }

  bool accept(char c) {
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) fail(std::string("expected '") + c + "'");
  }

  void expect_word(std::string_view word) {
    if (text_.substr(position_, word.size()) != word) fail("expected a value");
    position_ += word.size();
  }

  Json parse_value(const Place& place, int depth) {
    if (depth > deepest_nesting) fail("more than 64 nested values");
    skip_space();
    Json value;
    value.place_ = place;
    switch (peek()) {
      case '{':
        parse_object(value, depth);
        break;
      case '[':
        parse_array(value, depth);
        break;
      case '"':
        value.kind_ = Json::Kind::string;
        value.string_ = parse_string();
        break;
      case 't':
        expect_word("true");
        value.kind_ = Json::Kind::boolean;
        value.boolean_ = true;
        break;
      case 'f':
        expect_word("false");
        value.kind_ = Json::Kind::boolean;
        break;
      case 'n':
        expect_word("null");
        break;
      default:
        value.kind_ = Json::Kind::number;
        value.number_ = parse_number();
    }
    return value;
  }

  void parse_object(Json& value, int depth) {
    value.kind_ = Json::Kind::object;
    expect('{');
    skip_space();
    if (accept('}')) return;
    std::set<std::string, std::less<>> names;
    do {
      skip_space();
      if (peek() != '"') fail("expected a name in quotes");
      std::string name = parse_string();
      if (!names.insert(name).second) fail("the name \"" + name + "\" is given twice");
      skip_space();
      expect(':');
      const Place place = join(value.place_, name);
      value.object_.emplace_back(std::move(name), parse_value(place, depth + 1));
      skip_space();
    } while (accept(','));
    expect('}');
  }

  void parse_array(Json& value, int depth) {
    value.kind_ = Json::Kind::array;
    expect('[');
    skip_space();
    if (accept(']')) return;
    do {
      // An element shares the place of its array: an index would cost a string per number.
      value.array_.push_back(parse_value(value.place_, depth + 1));
      skip_space();
    } while (accept(','));
    expect(']');
  }

  std::string parse_string() {
    expect('"');
    std::string out;
    while (true) {
      const char c = peek();
      ++position_;
      if (c == '"') return out;
      if (static_cast<unsigned char>(c) < 0x20) fail("control character in a string");
      if (c != '\\') {
        out.push_back(c);
        continue;
      }
      parse_escape(out);
    }
  }

  void parse_escape(std::string& out) {
    const char c = peek();
    ++position_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        out.push_back(c);
        return;
      case 'b':
        out.push_back('\b');
        return;
      case 'f':
        out.push_back('\f');
        return;
      case 'n':
        out.push_back('\n');
        return;
      case 'r':
        out.push_back('\r');
        return;
      case 't':
        out.push_back('\t');
        return;
      case 'u':
        append_utf8(out, parse_code_point());
        return;
      default:
        fail("unknown escape in a string");
    }
  }

  std::uint32_t parse_code_point() {
    const std::uint32_t first = parse_hex4();
    if (first >= 0xDC00 && first <= 0xDFFF) fail("unpaired surrogate in a string");
    if (first < 0xD800 || first > 0xDBFF) return first;
    expect('\\');
    expect('u');
    const std::uint32_t second = parse_hex4();
    if (second < 0xDC00 || second > 0xDFFF) fail("unpaired surrogate in a string");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  std::uint32_t parse_hex4() {
    std::uint32_t code = 0;
    for (int k = 0; k < 4; ++k) {
      const char c = peek();
      ++position_;
      code <<= 4;
      if (is_digit(c)) {
        code |= static_cast<std::uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        code |= static_cast<std::uint32_t>(c - 'a' + 10);
      } else if (c >= 'A' && c <= 'F') {
        code |= static_cast<std::uint32_t>(c - 'A' + 10);
      } else {
        fail("expected four hexadecimal digits");
      }
    }
    return code;
  }

  void skip_digits() {
    if (!is_digit(peek())) fail("expected a digit");
    while (position_ < text_.size() && is_digit(text_[position_])) ++position_;
  }

  double parse_number() {
    const std::size_t begin = position_;
    accept('-');
    if (!accept('0')) skip_digits();
    if (accept('.')) skip_digits();
    if (accept('e') || accept('E')) {
      if (!accept('+')) accept('-');
      skip_digits();
    }
    // The grammar is checked above; the stream, in the C locale, only converts (std::strtod would follow the
    // user's locale, and std::from_chars for double is missing from older standard libraries).
    std::istringstream stream{std::string(text_.substr(begin, position_ - begin))};
    stream.imbue(std::locale::classic());
    double number = 0.0;
    stream >> number;
    if (!std::isfinite(number) || (stream.fail() && std::abs(number) > 1.0)) fail("number out of range");
    return number;
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

Json Json::parse(std::string_view text) {
  if (text.size() > largest_text) {
    throw Error("JSON text of " + std::to_string(text.size()) + " bytes, expected at most 4 MiB");
  }
  return JsonParser(text).document();
}

void Json::expected(const char* what) const {
  throw Error((place_ ? *place_ : std::string("contents")) + ": expected " + what);
}

bool Json::boolean() const {
  if (kind_ != Kind::boolean) expected("true or false");
  return boolean_;
}

double Json::number() const {
  if (kind_ != Kind::number) expected("a number");
  return number_;
}

std::int64_t Json::integer() const {
  if (kind_ != Kind::number || std::abs(number_) > largest_integer || std::floor(number_) != number_) {
    expected("a whole number");
  }
  return static_cast<std::int64_t>(number_);
}

const std::string& Json::string() const {
  if (kind_ != Kind::string) expected("a string");
  return string_;
}

const std::vector<Json>& Json::array() const {
  if (kind_ != Kind::array) expected("an array");
  return array_;
}

const std::vector<std::pair<std::string, Json>>& Json::object() const {
  if (kind_ != Kind::object) expected("an object");
  return object_;
}

const Json* Json::find(std::string_view name) const {
  for (const auto& member : object()) {
    if (member.first == name) return &member.second;
  }
  return nullptr;
}

const Json& Json::at(std::string_view name) const {
  if (const Json* value = find(name)) return *value;
  throw Error((place_ ? *place_ + "." : std::string()) + std::string(name) + ": missing");
}

}  // namespace frames
