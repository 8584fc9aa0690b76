#include "micromind/networks/registry.h"

#include <functional>

#include "micromind/base/error.h"
#include "micromind/base/reflect.h"
#include "micromind/base/text.h"
#include "micromind/networks/efficientnet.h"
#include "micromind/networks/mlperf_tiny.h"
#include "micromind/networks/mobilenet.h"
#include "micromind/networks/phinet.h"
#include "micromind/networks/reference_names.h"
#include "micromind/networks/xinet.h"

namespace micromind {
namespace {

using nlohmann::json;
using NodeNames = std::map<std::string, std::string> (*)(const Graph&);

struct Entry {
  std::function<Graph(const json&)> build;
  NodeNames reference;
};

struct Registry {
  std::vector<NetworkFamily> families;
  std::vector<Entry> entries;

  template <class Options>
  void add(std::string name, std::string description, Graph (*build)(const Options&), NodeNames reference = nullptr) {
    entries.push_back({[name, build](const json& values) {
                         Options options;
                         members_from_json(values, options, name);
                         return build(options);
                       },
                       reference});
    families.push_back({std::move(name), std::move(description), members_to_json(Options{})});
  }

  Registry() {
    add("phinet", "PhiNet: inverted residuals scaled by alpha (operations), beta (flash) and t_zero (RAM)", phinet, phinet_reference_nodes);
    add("xinet", "XiNet: compressed standard convolutions with a broadcast skip and attention", xinet, xinet_reference_nodes);
    add("mobilenet-v1", "MobileNetV1; by default MLPerf Tiny's visual wake words network", mobilenet_v1);
    add("mobilenet-v2", "MobileNetV2", mobilenet_v2);
    add("efficientnet", "EfficientNet: MobileNetV2's blocks with squeeze-and-excite; depth, width and input scale together", efficientnet);
    add("resnet-8", "ResNet-8, MLPerf Tiny's image classification network", resnet8);
    add("ds-cnn", "DS-CNN, MLPerf Tiny's keyword spotting network", ds_cnn);
    add("autoencoder", "dense autoencoder, MLPerf Tiny's anomaly detection network", autoencoder);
  }

  const Entry& find(const std::string& family) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < families.size(); ++i) {
      if (families[i].name == family) return entries[i];
      names.push_back(families[i].name);
    }
    fail_with_hint("network", name_hint(family, names), "unknown family '{}'", family);
  }
};

const Registry& registry() {
  static const Registry instance;
  return instance;
}

}  // namespace

const std::vector<NetworkFamily>& network_families() { return registry().families; }

Graph build_network(const std::string& family, const json& options) { return registry().find(family).build(options); }

std::map<std::string, std::string> reference_names(const std::string& family, const json& options) {
  return reference_names(build_network(family, options), family);
}

std::map<std::string, std::string> reference_names(const Graph& graph, const std::string& family) {
  const Entry& entry = registry().find(family);
  const std::map<std::string, std::string> nodes = entry.reference ? entry.reference(graph) : std::map<std::string, std::string>{};
  std::map<std::string, std::string> names;
  for (const NamedParameter& p : parameters(graph)) {
    const std::string& node = graph.nodes()[static_cast<std::size_t>(p.node)].name;
    const auto it = nodes.find(node);
    names[p.name] = (it == nodes.end() ? node : it->second) + p.name.substr(node.size());
  }
  return names;
}

}  // namespace micromind
