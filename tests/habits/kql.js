// Parses KQL from stdin (a JSON list) with Microsoft's own parser; prints a JSON list of lists of complaints.
require("@kusto/language-service-next/bridge.min");
require("@kusto/language-service-next/Kusto.Language.Bridge.min");
const { KustoCode, GlobalState } = Kusto.Language;
const symbols = Kusto.Language.Symbols;
const column = (name, type) => new symbols.ColumnSymbol(name, symbols.ScalarTypes[type]);
const columns = [
  ...["id", "name", "type", "tenantId", "kind", "location", "resourceGroup", "subscriptionId", "managedBy"].map((n) => column(n, "String")),
  ...["sku", "plan", "properties", "tags", "identity", "zones", "extendedLocation"].map((n) => column(n, "Dynamic")),
];
const tables = ["resources", "resourcecontainers", "recoveryservicesresources", "policyresources", "computeresources",
  "authorizationresources"];
const database = new symbols.DatabaseSymbol.$ctor1("arg", tables.map((t) => new symbols.TableSymbol.$ctor4(t, columns)));
const globals = GlobalState.Default.WithDatabase(database);
const queries = JSON.parse(require("fs").readFileSync(0, "utf8"));
const told = queries.map((text) => {
  const code = KustoCode.ParseAndAnalyze(text, globals);
  const found = [];
  const diagnostics = code.GetDiagnostics();
  for (let i = 0; i < diagnostics.Count; i++) found.push(diagnostics.getItem(i).Message);
  return found;
});
process.stdout.write(JSON.stringify(told));
