#include "openmm/serialization.h"

#include <openmm/serialization/SerializationNode.h>
#include <openmm/serialization/SerializationProxy.h>
#include <openmm/serialization/XmlSerializer.h>

#include <memory>
#include <mutex>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "openmm/base64.h"

namespace frames {

namespace {

using OpenMM::SerializationNode;

const char* const type_name = "FramesForce";

void write_model(const ModelSource& model, SerializationNode& node) {
  node.setStringProperty("path", model.path());
  node.setStringProperty("sha256", model.sha256());
  if (model.contents()) node.setStringProperty("base64", to_base64(*model.contents()));
}

ModelSource read_model(const SerializationNode& node) {
  std::shared_ptr<const ModelSource::Bytes> contents;
  if (node.hasProperty("base64"))
    contents = std::make_shared<const ModelSource::Bytes>(from_base64(node.getStringProperty("base64")));
  return ModelSource(node.getStringProperty("path"), node.getStringProperty("sha256"), std::move(contents));
}

void write_settings(const ForceSettings& settings, SerializationNode& node) {
  write_model(settings.model, node.createChildNode("Model"));
  node.setBoolProperty("periodic", settings.periodic);
  node.setStringProperty("backend", settings.backend);
  node.setStringProperty("precision", settings.precision);
  node.setDoubleProperty("skin", settings.skin);
  node.setStringProperty("scaleParameter", settings.scale_parameter);
  node.setDoubleProperty("scaleDefault", settings.scale_default);
  node.setBoolProperty("scaleDerivative", settings.scale_derivative);
  node.setIntProperty("particles", settings.particles);
  SerializationNode& box = node.createChildNode("TopologyBox");
  for (const OpenMM::Vec3& vector : settings.topology_box) {
    box.createChildNode("Vector")
        .setDoubleProperty("x", vector[0])
        .setDoubleProperty("y", vector[1])
        .setDoubleProperty("z", vector[2]);
  }
  SerializationNode& atoms = node.createChildNode("Atoms");
  for (std::size_t i = 0; i < settings.atoms.size(); ++i) {
    SerializationNode& atom = atoms.createChildNode("Atom");
    atom.setIntProperty("index", settings.atoms[i]);
    atom.setIntProperty("number", settings.atomic_numbers[i]);
  }
  SerializationNode& bonds = node.createChildNode("Bonds");
  for (const auto& [first, second] : settings.bonds)
    bonds.createChildNode("Bond").setIntProperty("p1", first).setIntProperty("p2", second);
}

ForceSettings read_settings(const SerializationNode& node, int version) {
  ForceSettings settings(read_model(node.getChildNode("Model")));
  settings.periodic = node.getBoolProperty("periodic");
  settings.backend = node.getStringProperty("backend");
  settings.precision = node.getStringProperty("precision");
  settings.skin = node.getDoubleProperty("skin");
  settings.scale_parameter = node.getStringProperty("scaleParameter");
  settings.scale_default = node.getDoubleProperty("scaleDefault");
  settings.scale_derivative = node.getBoolProperty("scaleDerivative");
  settings.particles = node.getIntProperty("particles");
  if (version >= 2) {
    for (const SerializationNode& vector : node.getChildNode("TopologyBox").getChildren()) {
      settings.topology_box.emplace_back(vector.getDoubleProperty("x"), vector.getDoubleProperty("y"),
                                         vector.getDoubleProperty("z"));
    }
  }
  for (const SerializationNode& atom : node.getChildNode("Atoms").getChildren()) {
    settings.atoms.push_back(atom.getIntProperty("index"));
    settings.atomic_numbers.push_back(atom.getIntProperty("number"));
  }
  for (const SerializationNode& bond : node.getChildNode("Bonds").getChildren())
    settings.bonds.emplace_back(bond.getIntProperty("p1"), bond.getIntProperty("p2"));
  return settings;
}

class Proxy : public OpenMM::SerializationProxy {
 public:
  Proxy() : SerializationProxy(type_name) {}

  void serialize(const void* object, SerializationNode& node) const override {
    const auto& force = *static_cast<const FramesForce*>(object);
    node.setIntProperty("version", serialization_version);
    node.setIntProperty("forceGroup", force.getForceGroup());
    node.setStringProperty("name", force.getName());
    write_settings(force.settings(), node);
  }

  void* deserialize(const SerializationNode& node) const override {
    const int version = node.getIntProperty("version");
    if (version < 1 || version > serialization_version) {
      throw OpenMM::OpenMMException("FramesForce: the XML is of version " + std::to_string(version) +
                                    ", this frames-md reads version " +
                                    std::to_string(serialization_version) + "; install a newer frames-md");
    }
    try {
      auto force = std::make_unique<FramesForce>(read_settings(node, version));
      force->setForceGroup(node.getIntProperty("forceGroup"));
      force->setName(node.getStringProperty("name"));
      return force.release();
    } catch (const Error& error) {
      throw OpenMM::OpenMMException(std::string("FramesForce: ") + error.what());
    }
  }
};

}  // namespace

void register_serialization() {
  static std::once_flag once;
  // OpenMM keeps the pointer for as long as the process lives.
  std::call_once(once, [] { OpenMM::SerializationProxy::registerProxy(typeid(FramesForce), new Proxy); });
}

std::string to_xml(const FramesForce& force) {
  std::ostringstream stream;
  OpenMM::XmlSerializer::serialize<OpenMM::Force>(&force, "Force", stream);
  return stream.str();
}

}  // namespace frames
