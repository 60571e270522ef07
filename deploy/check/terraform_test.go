package check

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

const terraform = "../elasticache"

// TestTerraform parses the files, holds them to Terraform's own form, and every name
// that they use to what they declare. The provider's schema is not checked: that
// takes terraform validate, and the provider.
func TestTerraform(t *testing.T) {
	files, _ := filepath.Glob(terraform + "/*.tf")
	if len(files) == 0 {
		t.Fatal("no files")
	}
	p := hclparse.NewParser()
	declared := map[string]bool{"each.key": true, "each.value": true}
	var bodies []*hclsyntax.Body
	for _, path := range files {
		text := read(t, path)
		if !slices.Equal(hclwrite.Format(text), text) {
			t.Errorf("%s is not formatted: terraform fmt", path)
		}
		f, diags := p.ParseHCL(text, path)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		body := f.Body.(*hclsyntax.Body)
		bodies = append(bodies, body)
		declare(body, declared)
	}
	for _, body := range bodies {
		used(t, body, declared)
	}
	for _, want := range []string{"aws_security_group.redis", "aws_elasticache_subnet_group.redis", "aws_elasticache_parameter_group.redis",
		"aws_elasticache_replication_group.redis", "aws_sns_topic.redis", "aws_secretsmanager_secret.redis"} {
		if !declared[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

// declare collects the names of a file's blocks: var.x, local.x, type.name.
func declare(body *hclsyntax.Body, names map[string]bool) {
	for _, b := range body.Blocks {
		switch b.Type {
		case "variable":
			names["var."+b.Labels[0]] = true
		case "resource":
			names[strings.Join(b.Labels, ".")] = true
		case "locals":
			for name := range b.Body.Attributes {
				names["local."+name] = true
			}
		}
	}
}

// used holds every reference in a body to what is declared.
func used(t *testing.T, body *hclsyntax.Body, declared map[string]bool) {
	t.Helper()
	for _, a := range body.Attributes {
		if a.Name == "ignore_changes" { // names of the block's own settings
			continue
		}
		for _, v := range a.Expr.Variables() {
			if name := reference(v); name != "" && !declared[name] {
				t.Errorf("%s: %s is not declared", v.SourceRange(), name)
			}
		}
	}
	for _, b := range body.Blocks {
		used(t, b.Body, declared)
	}
}

func reference(v hcl.Traversal) string {
	if v.RootName() == "string" || len(v) < 2 { // a type, or the variable of a for
		return ""
	}
	attr, ok := v[1].(hcl.TraverseAttr)
	if !ok {
		return ""
	}
	return v.RootName() + "." + attr.Name
}

// TestTerraformParameters: those that the service lets nobody set stop an apply.
func TestTerraformParameters(t *testing.T) {
	modifiable := []string{"maxmemory-policy", "min-replicas-to-write", "min-replicas-max-lag", "timeout"}
	f, diags := hclparse.NewParser().ParseHCL(read(t, terraform+"/main.tf"), "main.tf")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	set := map[string]string{}
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		if len(b.Labels) == 0 || b.Labels[0] != "aws_elasticache_parameter_group" {
			continue
		}
		for _, p := range b.Body.Blocks {
			name, _ := p.Body.Attributes["name"].Expr.Value(nil)
			value, _ := p.Body.Attributes["value"].Expr.Value(nil)
			set[name.AsString()] = value.AsString()
			if !slices.Contains(modifiable, name.AsString()) {
				t.Errorf("parameter %s was not checked to be modifiable", name.AsString())
			}
		}
	}
	if set["maxmemory-policy"] != "noeviction" {
		t.Errorf("got policy %q; want noeviction, since queues and sessions are in it", set["maxmemory-policy"])
	}
	cli := string(read(t, terraform+"/create.sh"))
	for name, value := range set {
		if !strings.Contains(cli, "ParameterName="+name+",ParameterValue="+value) {
			t.Errorf("create.sh does not set %s to %s as main.tf does", name, value)
		}
	}
}
