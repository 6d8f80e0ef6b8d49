/** JSON values as the YAML that people write. Pure, and free of the schema. */
import { Document as YamlDocument, isMap, isScalar, isSeq, visit } from 'yaml';
import { canonicalJson, type JsonValue } from './canonical.js';

/** Small maps and lists stand on one line, as people write them. */
const flowWidth = 100;

/** Keys in the order that they have; small maps and lists on one line, but for the outermost two levels. */
export function writeYaml(value: JsonValue): string {
  const yaml = new YamlDocument(value, {
    version: '1.2',
    schema: 'core',
    aliasDuplicateObjects: false,
    // Quotes words such as `on` and `yes` too, so that YAML 1.1 readers see text as well.
    compat: 'yaml-1.1',
  });
  visit(yaml, {
    Collection(_key, node, ancestors) {
      if (ancestors.length < 2 || !(isMap(node) || isSeq(node))) return;
      const values: readonly unknown[] = isMap(node)
        ? node.items.map((pair) => pair.value)
        : node.items;
      if (values.some((one) => !isScalar(one))) return;
      // Quotes mostly go, commas gain a space: near enough to the width that it will have.
      const width = canonicalJson(node.toJSON()).replaceAll('"', '').length + 2 * values.length;
      if (width <= flowWidth) node.flow = true;
    },
  });
  return yaml.toString({ lineWidth: 0, flowCollectionPadding: true });
}
